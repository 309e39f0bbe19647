#include "core/backend.h"

namespace katman {

Tensor Backend::empty(const Shape& shape, DType dtype) {
  return Tensor(pool().take(shape.elements() * bytes_of(dtype)), 0, shape, dtype);
}

Tensor Backend::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  fill_zero(t);
  return t;
}

}  // namespace katman
