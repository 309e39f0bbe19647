// Where the time of training steps goes on a GPU: its trace, added up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cuda_library.h"

namespace katman {

// All calls of one kernel, or all copies, or all fills.
struct KernelTime {
  std::string name;  // without namespaces and parameters
  int64_t calls = 0;
  double seconds = 0;
};

struct TraceFigures {
  int64_t steps = 0;
  double seconds = 0;               // from where the first activity begins to where the last ends
  double busy = 0;                  // the share of that in which anything runs
  double longest_gap_s = 0;         // in which nothing does
  int64_t activities = 0;           // of all steps
  std::vector<KernelTime> kernels;  // the longest first
};

// Of whole steps, in the order in which activities begin.
TraceFigures summarise(const std::vector<CudaActivity>& activities, int64_t steps);

// "void katman::kernels::(anonymous namespace)::adamw_kernel<4, katman::bf16>(...)" as
// "adamw_kernel<4, bf16>".
std::string short_kernel_name(const std::string& signature);

}  // namespace katman
