#include <algorithm>

#include "core/cuda/kernels/elementwise.h"
#include "core/cuda/kernels/functions.cuh"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;
// Enough blocks to fill any device several times over; longer ranges are strided over.
constexpr int64_t most_blocks = 1 << 14;

__device__ int64_t first_of_grid() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ int64_t threads_of_grid() { return int64_t{gridDim.x} * blockDim.x; }

unsigned grid_for(int64_t items) {
  return static_cast<unsigned>(std::min(most_blocks, (items + threads - 1) / threads));
}

template <int N, class Out, class Op, class... In>
__device__ void map_pack(int64_t first, Out* out, Op op, const In*... in) {
  const auto compute = [&](const Pack<In, N>&... packs) {
    Pack<Out, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.value[i] = narrow<Out>(op(widen(packs.value[i])...));
    store(result, out + first);
  };
  compute(load<In, N>(in + first)...);
}

// out[i] = op(in[i]...) in packs of N; the elements that fill no pack one by one.
template <int N, class Out, class Op, class... In>
__global__ void map_kernel(int64_t n, Out* out, Op op, const In*... in) {
  const int64_t packs = n / N;
  for (int64_t pack = first_of_grid(); pack < packs; pack += threads_of_grid())
    map_pack<N>(pack * N, out, op, in...);
  const int64_t rest = packs * N + first_of_grid();
  if (rest < n) map_pack<1>(rest, out, op, in...);
}

template <class Out, class Op, class... In>
void map(cudaStream_t stream, int64_t n, Out* out, Op op, const In*... in) {
  constexpr int64_t smallest = std::min({sizeof(Out), sizeof(In)...});
  constexpr int N = 16 / smallest;
  if (can_pack(16, out, in...)) {
    launch(stream, grid_for(std::max<int64_t>(n / N, n % N)), threads, 0,
           map_kernel<N, Out, Op, In...>, n, out, op, in...);
  } else {
    launch(stream, grid_for(n), threads, 0, map_kernel<1, Out, Op, In...>, n, out, op, in...);
  }
}

struct Identity {
  __device__ float operator()(float x) const { return x; }
};
struct Add {
  __device__ float operator()(float x, float y) const { return x + y; }
};
struct Scale {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};
struct Gelu {
  __device__ float operator()(float x) const { return gelu_value(x); }
};
struct GeluGrad {
  __device__ float operator()(float dy, float x) const { return dy * gelu_derivative(x); }
};

template <int N, class T>
__global__ void swiglu_kernel(const T* x, T* y, int64_t rows, int64_t width) {
  const int64_t packs = width / N;
  for (int64_t at = first_of_grid(); at < rows * packs; at += threads_of_grid()) {
    const int64_t row = at / packs, column = at % packs * N;
    const auto gate = load<T, N>(x + 2 * row * width + column);
    const auto up = load<T, N>(x + (2 * row + 1) * width + column);
    Pack<T, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float g = widen(gate.value[i]);
      out.value[i] = narrow<T>(g * sigmoid(g) * widen(up.value[i]));
    }
    store(out, y + row * width + column);
  }
}

template <int N, class T>
__global__ void swiglu_grad_kernel(const T* dy, const T* x, T* dx, int64_t rows, int64_t width) {
  const int64_t packs = width / N;
  for (int64_t at = first_of_grid(); at < rows * packs; at += threads_of_grid()) {
    const int64_t row = at / packs, column = at % packs * N;
    const int64_t gate_at = 2 * row * width + column, up_at = gate_at + width;
    const auto gate = load<T, N>(x + gate_at), up = load<T, N>(x + up_at);
    const auto dout = load<T, N>(dy + row * width + column);
    Pack<T, N> dgate, dup;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float g = widen(gate.value[i]), s = sigmoid(g), d = widen(dout.value[i]);
      dgate.value[i] = narrow<T>(d * widen(up.value[i]) * s * (1 + g * (1 - s)));
      dup.value[i] = narrow<T>(d * g * s);
    }
    store(dgate, dx + gate_at);
    store(dup, dx + up_at);
  }
}

template <int N, class T>
__global__ void dropout_kernel(T* x, float p, float kept, Key key, uint64_t first, int64_t stride,
                               int64_t rows, int64_t width) {
  const int64_t packs = width / N;
  for (int64_t at = first_of_grid(); at < rows * packs; at += threads_of_grid()) {
    const int64_t row = at / packs, column = at % packs * N;
    auto values = load<T, N>(x + row * width + column);
    const uint64_t element = first + static_cast<uint64_t>(row * stride + column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const bool keep = random_uniform(key, element + static_cast<uint64_t>(i)) >= p;
      values.value[i] = narrow<T>(keep ? widen(values.value[i]) * kept : 0.0f);
    }
    store(values, x + row * width + column);
  }
}

}  // namespace

template <class From, class To>
void cast(cudaStream_t stream, const From* x, To* y, int64_t n) {
  map(stream, n, y, Identity{}, x);
}
template <class T>
void add(cudaStream_t stream, const T* x, const T* y, T* out, int64_t n) {
  map(stream, n, out, Add{}, x, y);
}
template <class T>
void scale(cudaStream_t stream, T* x, float factor, int64_t n) {
  map(stream, n, x, Scale{factor}, static_cast<const T*>(x));
}
template <class T>
void gelu(cudaStream_t stream, const T* x, T* y, int64_t n) {
  map(stream, n, y, Gelu{}, x);
}
template <class T>
void gelu_grad(cudaStream_t stream, const T* dy, const T* x, T* dx, int64_t n) {
  map(stream, n, dx, GeluGrad{}, dy, x);
}

template <class T>
void swiglu(cudaStream_t stream, const T* x, T* y, int64_t rows, int64_t width) {
  constexpr int N = pack_of<T>;
  if (can_pack(width, x, y))
    launch(stream, grid_for(rows * width / N), threads, 0, swiglu_kernel<N, T>, x, y, rows, width);
  else
    launch(stream, grid_for(rows * width), threads, 0, swiglu_kernel<1, T>, x, y, rows, width);
}
template <class T>
void swiglu_grad(cudaStream_t stream, const T* dy, const T* x, T* dx, int64_t rows, int64_t width) {
  constexpr int N = pack_of<T>;
  if (can_pack(width, dy, x, dx))
    launch(stream, grid_for(rows * width / N), threads, 0, swiglu_grad_kernel<N, T>, dy, x, dx,
           rows, width);
  else
    launch(stream, grid_for(rows * width), threads, 0, swiglu_grad_kernel<1, T>, dy, x, dx, rows,
           width);
}

template <class T>
void dropout(cudaStream_t stream, T* x, float p, Key key, uint64_t first, int64_t stride,
             int64_t rows, int64_t width) {
  constexpr int N = pack_of<T>;
  const float kept = 1 / (1 - p);
  if (can_pack(width, x))
    launch(stream, grid_for(rows * width / N), threads, 0, dropout_kernel<N, T>, x, p, kept, key,
           first, stride, rows, width);
  else
    launch(stream, grid_for(rows * width), threads, 0, dropout_kernel<1, T>, x, p, kept, key, first,
           stride, rows, width);
}

template void cast(cudaStream_t, const float*, bf16*, int64_t);
template void cast(cudaStream_t, const bf16*, float*, int64_t);
template void cast(cudaStream_t, const float*, float*, int64_t);
template void cast(cudaStream_t, const bf16*, bf16*, int64_t);
template void add(cudaStream_t, const float*, const float*, float*, int64_t);
template void add(cudaStream_t, const bf16*, const bf16*, bf16*, int64_t);
template void scale(cudaStream_t, float*, float, int64_t);
template void scale(cudaStream_t, bf16*, float, int64_t);
template void gelu(cudaStream_t, const float*, float*, int64_t);
template void gelu(cudaStream_t, const bf16*, bf16*, int64_t);
template void gelu_grad(cudaStream_t, const float*, const float*, float*, int64_t);
template void gelu_grad(cudaStream_t, const bf16*, const bf16*, bf16*, int64_t);
template void swiglu(cudaStream_t, const float*, float*, int64_t, int64_t);
template void swiglu(cudaStream_t, const bf16*, bf16*, int64_t, int64_t);
template void swiglu_grad(cudaStream_t, const float*, const float*, float*, int64_t, int64_t);
template void swiglu_grad(cudaStream_t, const bf16*, const bf16*, bf16*, int64_t, int64_t);
template void dropout(cudaStream_t, float*, float, Key, uint64_t, int64_t, int64_t, int64_t);
template void dropout(cudaStream_t, bf16*, float, Key, uint64_t, int64_t, int64_t, int64_t);

}  // namespace katman::kernels
