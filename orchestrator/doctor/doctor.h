// Is this machine fit? What training would find here, line by line, and what to do about what it
// would miss.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace katman {

struct Finding {
  // missing: something does not work without it; absent: a choice that this machine does not offer.
  enum class State { ok, absent, missing } state = State::ok;
  std::string what;    // "CUDA devices"
  std::string found;   // "2: NVIDIA H100 80GB HBM3 (9.0, 80 GB, 79 free)"
  std::string advice;  // what to do, unless ok
};
const char* name_of(Finding::State state);

// Looks at everything; starts two ranks under mpirun, which takes a second or two. `directory`:
// where runs would go.
std::vector<Finding> examine(const std::filesystem::path& directory);

}  // namespace katman
