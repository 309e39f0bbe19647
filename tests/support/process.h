#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace katman::testing {

// A program running beside the test, its output (standard error too) going to a file. Killed when
// this goes out of scope.
class Process {
 public:
  // arguments[0] is the program: a path, or a name looked up in PATH.
  Process(const std::vector<std::string>& arguments, const std::string& output_file);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number);
  // The exit status, or 128 + the signal that ended it. Throws after the deadline (and kills it).
  int wait(std::chrono::seconds deadline = std::chrono::seconds(120));
  // Of its resident memory, once it has ended.
  int64_t peak_bytes() const { return peak_bytes_; }

 private:
  pid_t pid_ = -1;
  int64_t peak_bytes_ = 0;
};

struct Result {
  int status = -1;
  std::string output;  // standard output and standard error together
  int64_t peak_bytes = 0;
};

// Runs a program to its end.
Result run(const std::vector<std::string>& arguments,
           std::chrono::seconds deadline = std::chrono::seconds(120));

// Processes of the program under test with these words in their command line, in the order in which
// they were started.
std::vector<pid_t> katman_processes(const std::string& words);

// The program under test: build/.../katman.
std::string katman();

}  // namespace katman::testing
