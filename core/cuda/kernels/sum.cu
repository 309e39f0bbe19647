#include <algorithm>

#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/sum.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;

template <class T, int N>
__device__ void sum_pack(const Parts<T>& parts, T* out, int64_t first) {
  float sums[N];
  const Pack<T, N> begin = load<T, N>(parts.part[0] + first);
#pragma unroll
  for (int i = 0; i < N; ++i) sums[i] = widen(begin.value[i]);
  for (int p = 1; p < parts.count; ++p) {
    const Pack<T, N> more = load<T, N>(parts.part[p] + first);
#pragma unroll
    for (int i = 0; i < N; ++i) sums[i] += widen(more.value[i]);
  }
  Pack<T, N> result;
#pragma unroll
  for (int i = 0; i < N; ++i) result.value[i] = narrow<T>(sums[i]);
  store(result, out + first);
}

template <class T, int N>
__global__ void sum_kernel(const Parts<T> parts, T* out, int64_t n) {
  const int64_t mine = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if ((mine + 1) * N <= n) sum_pack<T, N>(parts, out, mine * N);
  const int64_t rest = n / N * N + mine;
  if (mine < n % N) sum_pack<T, 1>(parts, out, rest);
}

}  // namespace

template <class T>
void sum_parts(cudaStream_t stream, const Parts<T>& parts, T* out, int64_t n) {
  bool packed = can_pack(pack_of<T>, out);
  for (int p = 0; p < parts.count; ++p) packed = packed && can_pack(pack_of<T>, parts.part[p]);
  if (packed) {
    const int64_t items = std::max<int64_t>(n / pack_of<T>, n % pack_of<T>);
    launch(stream, blocks_for(items, threads), threads, 0, sum_kernel<T, pack_of<T>>, parts, out,
           n);
  } else {
    launch(stream, blocks_for(n, threads), threads, 0, sum_kernel<T, 1>, parts, out, n);
  }
}

template void sum_parts(cudaStream_t, const Parts<float>&, float*, int64_t);
template void sum_parts(cudaStream_t, const Parts<bf16>&, bf16*, int64_t);

}  // namespace katman::kernels
