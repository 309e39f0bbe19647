#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/loss.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 512;

// A running softmax: its maximum, and the sum of exp(x - maximum).
struct Running {
  float maximum = -INFINITY, total = 0;

  __device__ float seen_from(float other) const {
    return maximum == other ? total : total * __expf(maximum - other);
  }
};

template <class T, int N>
__device__ void take(Running& running, const Pack<T, N>& pack, int64_t column, int64_t valid) {
  float maximum = running.maximum;
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (column + i < valid) maximum = fmaxf(maximum, widen(pack.value[i]));
  running.total = running.seen_from(maximum);
  running.maximum = maximum;
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (column + i < valid) running.total += __expf(widen(pack.value[i]) - maximum);
}

// The column of the row's target here, or -1 where it is not mine or not counted.
template <class T>
__device__ int64_t my_target(const Logits<T>& logits, int64_t row) {
  const int64_t target = logits.targets[row], column = target - logits.vocab_begin;
  return target >= 0 && column >= 0 && column < logits.valid ? column : -1;
}

template <class T, int N>
__global__ void stats_kernel(Logits<T> logits, float* stats) {
  __shared__ float scratch[warp_threads];
  const int64_t row = blockIdx.x;
  const T* x = logits.data + row * logits.width;
  Running mine;
  for (int64_t column = threadIdx.x * N; column < logits.valid; column += threads * N)
    take<T, N>(mine, load<T, N>(x + column), column, logits.valid);
  const float maximum = block_max(mine.maximum, scratch);
  const float total = block_sum(mine.seen_from(maximum), scratch);
  if (threadIdx.x != 0) return;
  const int64_t target = my_target(logits, row);
  stats[3 * row] = maximum;
  stats[3 * row + 1] = total;
  stats[3 * row + 2] = target >= 0 ? widen(x[target]) : 0;
}

template <class T, int N>
__global__ void finish_kernel(Logits<T> logits, const float* all_stats, int64_t parts,
                              bool write_grad, float* loss) {
  const int64_t row = blockIdx.x;
  const auto stat = [&](int64_t part, int which) {
    return all_stats[(part * logits.rows + row) * 3 + which];
  };
  float maximum = stat(0, 0), total = 0, target_logit = 0;
  for (int64_t part = 1; part < parts; ++part) maximum = fmaxf(maximum, stat(part, 0));
  for (int64_t part = 0; part < parts; ++part) {
    total += Running{stat(part, 0), stat(part, 1)}.seen_from(maximum);
    target_logit += stat(part, 2);
  }
  const bool counted = logits.targets[row] >= 0;
  if (threadIdx.x == 0) loss[row] = counted ? maximum + logf(total) - target_logit : 0;
  if (!write_grad) return;
  const int64_t target = my_target(logits, row);
  const float share = counted ? 1 / total : 0;
  T* x = logits.data + row * logits.width;
  for (int64_t column = threadIdx.x * N; column < logits.width; column += threads * N) {
    auto pack = load<T, N>(x + column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const int64_t j = column + i;
      const float p = __expf(widen(pack.value[i]) - maximum) * share - (j == target ? 1.0f : 0.0f);
      pack.value[i] = narrow<T>(counted && j < logits.valid ? p : 0.0f);
    }
    store(pack, x + column);
  }
}

}  // namespace

template <class T>
void xent_stats(cudaStream_t stream, const Logits<T>& logits, float* stats) {
  const auto rows = static_cast<unsigned>(logits.rows);
  if (can_pack(logits.width, logits.data))
    launch(stream, rows, threads, 0, stats_kernel<T, pack_of<T>>, logits, stats);
  else
    launch(stream, rows, threads, 0, stats_kernel<T, 1>, logits, stats);
}

template <class T>
void xent_finish(cudaStream_t stream, const Logits<T>& logits, const float* all_stats,
                 int64_t parts, bool write_grad, float* loss) {
  const auto rows = static_cast<unsigned>(logits.rows);
  if (can_pack(logits.width, logits.data))
    launch(stream, rows, threads, 0, finish_kernel<T, pack_of<T>>, logits, all_stats, parts,
           write_grad, loss);
  else
    launch(stream, rows, threads, 0, finish_kernel<T, 1>, logits, all_stats, parts, write_grad,
           loss);
}

template void xent_stats(cudaStream_t, const Logits<float>&, float*);
template void xent_stats(cudaStream_t, const Logits<bf16>&, float*);
template void xent_finish(cudaStream_t, const Logits<float>&, const float*, int64_t, bool, float*);
template void xent_finish(cudaStream_t, const Logits<bf16>&, const float*, int64_t, bool, float*);

}  // namespace katman::kernels
