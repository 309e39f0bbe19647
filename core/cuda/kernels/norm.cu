#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/norm.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int warps = 4;  // rows of a block

// f(k, column) for the packs of a row that this lane owns. With K > 0 the row has at most K packs
// per lane, and what f keeps at index k stays in registers; else every k is 0.
template <int N, int K, class F>
__device__ void over_row(int width, F f) {
  const int lane = threadIdx.x % warp_threads;
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int column = (k * warp_threads + lane) * N;
      if (column < width) f(k, column);
    }
  } else {
    for (int column = lane * N; column < width; column += warp_threads * N) f(0, column);
  }
}

__device__ int64_t row_of_warp() {
  return int64_t{blockIdx.x} * warps + threadIdx.x / warp_threads;
}

template <class T, int N>
__device__ float sum_of(const Pack<T, N>& pack) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) total += widen(pack.value[i]);
  return total;
}

// x + residual, rounded; written where the backward pass will read it.
template <class T, int N>
__device__ Pack<T, N> add_residual(Pack<T, N> x, const T* residual, T* sum) {
  const auto other = load<T, N>(residual);
#pragma unroll
  for (int i = 0; i < N; ++i) x.value[i] = narrow<T>(widen(x.value[i]) + widen(other.value[i]));
  store(x, sum);
  return x;
}

template <class T, int N, int K>
__global__ void norm_kernel(NormForward<T> p) {
  const int64_t row = row_of_warp(), begin = row * p.width;
  if (row >= p.rows) return;
  const T* in = p.residual ? p.sum : p.x;
  Pack<T, N> kept[K > 0 ? K : 1];
  float total = 0;
  over_row<N, K>(p.width, [&](int k, int column) {
    auto pack = load<T, N>(p.x + begin + column);
    if (p.residual) pack = add_residual(pack, p.residual + begin + column, p.sum + begin + column);
    total += sum_of(pack);
    kept[k] = pack;
  });
  const auto again = [&](int k, int column) {
    return K > 0 ? kept[k] : load<T, N>(in + begin + column);
  };
  const auto width = static_cast<float>(p.width);
  const float mean = p.mean ? warp_sum(total) / width : 0;
  float squares = 0;
  over_row<N, K>(p.width, [&](int k, int column) {
    const auto pack = again(k, column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float distance = widen(pack.value[i]) - mean;
      squares += distance * distance;
    }
  });
  const float rstd = 1 / sqrtf(warp_sum(squares) / width + p.epsilon);
  over_row<N, K>(p.width, [&](int k, int column) {
    const auto pack = again(k, column), gamma = load<T, N>(p.gamma + column);
    Pack<T, N> beta = {}, y;
    if (p.beta) beta = load<T, N>(p.beta + column);
#pragma unroll
    for (int i = 0; i < N; ++i)
      y.value[i] = narrow<T>((widen(pack.value[i]) - mean) * rstd * widen(gamma.value[i]) +
                             widen(beta.value[i]));
    store(y, p.y + begin + column);
  });
  if (threadIdx.x % warp_threads == 0) {
    if (p.mean) p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
}

template <class T, int N, int K>
__global__ void norm_grad_kernel(NormBackward<T> p) {
  const int64_t row = row_of_warp(), begin = row * p.width;
  if (row >= p.rows) return;
  const float mean = p.mean ? p.mean[row] : 0, rstd = p.rstd[row];
  Pack<T, N> kept_dy[K > 0 ? K : 1], kept_x[K > 0 ? K : 1];
  float sum = 0, product = 0;  // of g, and of g * xhat
  const auto each = [&](const Pack<T, N>& dy, const Pack<T, N>& x, int column, auto f) {
    const auto gamma = load<T, N>(p.gamma + column);
#pragma unroll
    for (int i = 0; i < N; ++i)
      // Not to be fused with a sum: equal products must cancel.
      f(i, __fmul_rn(widen(dy.value[i]), widen(gamma.value[i])), (widen(x.value[i]) - mean) * rstd);
  };
  over_row<N, K>(p.width, [&](int k, int column) {
    kept_dy[k] = load<T, N>(p.dy + begin + column);
    kept_x[k] = load<T, N>(p.x + begin + column);
    each(kept_dy[k], kept_x[k], column, [&](int, float g, float xhat) {
      sum += g;
      product += g * xhat;
    });
  });
  const auto width = static_cast<float>(p.width);
  const float mean_g = p.mean ? warp_sum(sum) / width : 0, mean_product = warp_sum(product) / width;
  over_row<N, K>(p.width, [&](int k, int column) {
    const auto dy = K > 0 ? kept_dy[k] : load<T, N>(p.dy + begin + column);
    const auto x = K > 0 ? kept_x[k] : load<T, N>(p.x + begin + column);
    Pack<T, N> past = {}, dx;
    if (p.dresidual) past = load<T, N>(p.dresidual + begin + column);
    each(dy, x, column, [&](int i, float g, float xhat) {
      dx.value[i] =
          narrow<T>(widen(past.value[i]) + rstd * (g - mean_g - __fmul_rn(xhat, mean_product)));
    });
    store(dx, p.dx + begin + column);
  });
}

// The most packs per lane that stay in registers.
constexpr int few = 4, most = 8;

// start(N, K) with the widest packs that the addresses allow and room for a whole row, if any.
template <class T, class Start>
void with_packs(bool packed, int width, Start start) {
  constexpr int N = pack_of<T>;
  if (!packed)
    start(std::integral_constant<int, 1>{}, std::integral_constant<int, 0>{});
  else if (width <= few * warp_threads * N)
    start(std::integral_constant<int, N>{}, std::integral_constant<int, few>{});
  else if (width <= most * warp_threads * N)
    start(std::integral_constant<int, N>{}, std::integral_constant<int, most>{});
  else
    start(std::integral_constant<int, N>{}, std::integral_constant<int, 0>{});
}

}  // namespace

template <class T>
void norm(cudaStream_t stream, const NormForward<T>& p) {
  const bool packed = can_pack(p.width, p.x, p.residual, p.gamma, p.beta, p.sum, p.y);
  with_packs<T>(packed, p.width, [&](auto n, auto k) {
    launch(stream, blocks_for(p.rows, warps), warps * warp_threads, 0,
           norm_kernel<T, decltype(n)::value, decltype(k)::value>, p);
  });
}

template <class T>
void norm_grad(cudaStream_t stream, const NormBackward<T>& p) {
  const bool packed = can_pack(p.width, p.dy, p.x, p.gamma, p.dresidual, p.dx);
  with_packs<T>(packed, p.width, [&](auto n, auto k) {
    launch(stream, blocks_for(p.rows, warps), warps * warp_threads, 0,
           norm_grad_kernel<T, decltype(n)::value, decltype(k)::value>, p);
  });
}

template void norm(cudaStream_t, const NormForward<float>&);
template void norm(cudaStream_t, const NormForward<bf16>&);
template void norm_grad(cudaStream_t, const NormBackward<float>&);
template void norm_grad(cudaStream_t, const NormBackward<bf16>&);

}  // namespace katman::kernels
