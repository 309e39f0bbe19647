#include <algorithm>

#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/optimizer.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;
constexpr int N = 4;  // floats of 16 bytes

struct Itself {
  __device__ double operator()(float x) const { return x; }
};
struct Square {
  __device__ double operator()(float x) const { return static_cast<double>(x) * x; }
};

template <int Width, class Term>
__global__ void sum_kernel(const float* x, int64_t n, Term term, double* sums) {
  __shared__ double scratch[warp_threads];
  const int64_t first = int64_t{blockIdx.x} * threads + threadIdx.x,
                stride = int64_t{gridDim.x} * threads;
  const int64_t packs = n / Width;
  double total = 0;
  for (int64_t pack = first; pack < packs; pack += stride) {
    const auto values = load<float, Width>(x + pack * Width);
#pragma unroll
    for (int i = 0; i < Width; ++i) total += term(values.value[i]);
  }
  if (packs * Width + first < n) total += term(x[packs * Width + first]);
  total = block_sum(total, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void sum_finish_kernel(const double* sums, int blocks, float* out) {
  __shared__ double scratch[warp_threads];
  double total = 0;
  for (int block = threadIdx.x; block < blocks; block += threads) total += sums[block];
  total = block_sum(total, scratch);
  if (threadIdx.x == 0) *out += static_cast<float>(total);
}

template <class Term>
void sum_terms(cudaStream_t stream, const float* x, int64_t n, Term term, double* scratch,
               float* out) {
  const auto blocks = static_cast<unsigned>(sum_blocks(n));
  if (can_pack(N, x))
    launch(stream, blocks, threads, 0, sum_kernel<N, Term>, x, n, term, scratch);
  else
    launch(stream, blocks, threads, 0, sum_kernel<1, Term>, x, n, term, scratch);
  launch(stream, 1, threads, 0, sum_finish_kernel, scratch, static_cast<int>(blocks), out);
}

__device__ float adamw_element(const AdamWStep& s, float grad, float& master, float& m, float& v) {
  const float g = grad * s.grad_scale;
  m = s.beta1 * m + (1 - s.beta1) * g;
  v = s.beta2 * v + (1 - s.beta2) * g * g;
  const float direction = m * s.unbias1 / (sqrtf(v * s.unbias2) + s.epsilon);
  return master -= s.rate * (direction + s.decay * master);
}

template <int Width, class T>
__device__ void adamw_pack(const AdamWStep& s, T* value, int64_t at) {
  auto master = load<float, Width>(s.master + at);
  auto m = load<float, Width>(s.m + at), v = load<float, Width>(s.v + at);
  const auto grad = load<float, Width>(s.grad + at);
  Pack<T, Width> copy;
#pragma unroll
  for (int i = 0; i < Width; ++i)
    copy.value[i] =
        narrow<T>(adamw_element(s, grad.value[i], master.value[i], m.value[i], v.value[i]));
  store(master, s.master + at);
  store(m, s.m + at);
  store(v, s.v + at);
  store(copy, value + at);
}

template <int Width, class T>
__global__ void adamw_kernel(AdamWStep s, T* value, int64_t n) {
  const int64_t index = int64_t{blockIdx.x} * threads + threadIdx.x, packs = n / Width;
  if (index < packs) adamw_pack<Width>(s, value, index * Width);
  if (packs * Width + index < n && index < Width) adamw_pack<1>(s, value, packs * Width + index);
}

}  // namespace

int64_t sum_blocks(int64_t n) {
  return std::clamp<int64_t>((n + threads * N - 1) / (threads * N), 1, 1024);
}

void sum(cudaStream_t stream, const float* x, int64_t n, double* scratch, float* out) {
  sum_terms(stream, x, n, Itself{}, scratch, out);
}
void sum_squares(cudaStream_t stream, const float* x, int64_t n, double* scratch, float* out) {
  sum_terms(stream, x, n, Square{}, scratch, out);
}

template <class T>
void adamw(cudaStream_t stream, const AdamWStep& s, T* value, int64_t n) {
  if (can_pack(N, s.master, s.m, s.v, s.grad) && reinterpret_cast<uintptr_t>(value) % 16 == 0)
    launch(stream, blocks_for(n, threads * N), threads, 0, adamw_kernel<N, T>, s, value, n);
  else
    launch(stream, blocks_for(n, threads), threads, 0, adamw_kernel<1, T>, s, value, n);
}

template void adamw(cudaStream_t, const AdamWStep&, float*, int64_t);
template void adamw(cudaStream_t, const AdamWStep&, bf16*, int64_t);

}  // namespace katman::kernels
