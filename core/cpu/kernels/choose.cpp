#include "core/cpu/kernels/kernels.h"

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

namespace {

CpuKernels best_table() {
  const bool has_512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (has_512 && __builtin_cpu_supports("avx512bf16")) return avx512_bf16::make_table();
  if (has_512) return avx512::make_table();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::make_table();
  return baseline::make_table();
}

}  // namespace

const CpuKernels& cpu_kernels() {
  static const CpuKernels table = best_table();
  return table;
}

}  // namespace katman
