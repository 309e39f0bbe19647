// Running a program that answers and ends: sbatch, squeue.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace katman {

struct Executed {
  int status = -1;          // exit status; 128 + the signal; 127: there is no such program
  std::string output = {};  // standard output
  std::string errors = {};  // standard error
};

// Its end, or the end of its time: then it is killed and the status is 128 + SIGKILL. At most a
// megabyte of each output is kept.
Executed execute(std::vector<std::string> words, std::chrono::milliseconds longest);

}  // namespace katman
