#include "core/cuda/fp8.h"

#include "core/cuda/kernels/fp8.h"
#include "core/cuda/with_type.h"

namespace katman {
namespace {

// x, with parts of its largest size in `parts`, f32 [fp8_parts].
template <class T>
kernels::Fp8Source<T> source_of(const Tensor& x, Fp8 fp8, const Tensor& parts,
                                cudaStream_t stream) {
  kernels::fp8_largest(stream, static_cast<const T*>(x.data<T>()), x.elements(),
                       parts.data<float>());
  return {x.data<T>(),
          x.extent(0),
          x.extent(1),
          parts.data<float>(),
          static_cast<int>(parts.elements()),
          fp8};
}

Tensor parts_for(Backend& backend, const Tensor& x) {
  return backend.empty({kernels::fp8_parts(x.elements())}, DType::f32);
}

}  // namespace

Fp8Codes encoded(Backend& backend, const Tensor& x, Fp8 fp8, bool transposed, cudaStream_t stream) {
  const Tensor parts = parts_for(backend, x);
  const int64_t rows = x.extent(transposed ? 1 : 0), columns = x.extent(transposed ? 0 : 1);
  Fp8Codes made = {backend.empty({rows, columns}, DType::u8), backend.empty({1}, DType::f32)};
  kernels::fp8_encode(stream, source_of<bf16>(x, fp8, parts, stream), transposed,
                      made.codes.data<uint8_t>(), made.inverse.data<float>());
  return made;
}

Tensor rounded(Backend& backend, const Tensor& x, Fp8 fp8, cudaStream_t stream) {
  const Tensor parts = parts_for(backend, x), y = backend.empty(x.shape(), x.dtype());
  with_type(y, [&]<class T>(T* to) {
    kernels::fp8_round(stream, source_of<T>(x, fp8, parts, stream), to);
  });
  return y;
}

}  // namespace katman
