// From a tensor's type at run time to a kernel's type at compile time.
#pragma once

#include "core/tensor.h"

namespace katman {

// f(pointer to t's elements), in t's type: float or bf16.
template <class F>
void with_type(const Tensor& t, F f) {
  if (t.dtype() == DType::f32)
    f(t.data<float>());
  else
    f(t.data<bf16>());
}

// t's elements as T, or nullptr for an empty tensor.
template <class T>
T* data_or_none(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

}  // namespace katman
