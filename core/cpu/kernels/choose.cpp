#include "core/cpu/kernels/choose.h"

namespace katman {

namespace avx512_bf16 {
CpuKernels make_table();
}
namespace avx512 {
CpuKernels make_table();
}
namespace avx2 {
CpuKernels make_table();
}
namespace baseline {
CpuKernels make_table();
}

std::vector<CpuKernels> runnable_cpu_kernels() {
  std::vector<CpuKernels> tables;
  const bool has_512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (has_512 && __builtin_cpu_supports("avx512bf16")) tables.push_back(avx512_bf16::make_table());
  if (has_512) tables.push_back(avx512::make_table());
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    tables.push_back(avx2::make_table());
  tables.push_back(baseline::make_table());
  return tables;
}

const CpuKernels& cpu_kernels() {
  static const CpuKernels table = runnable_cpu_kernels().front();
  return table;
}

}  // namespace katman
