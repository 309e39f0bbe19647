// Descriptors of cuBLASLt's C interface, each owned by whoever holds it.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <memory>

#include "core/error.h"
#include "core/fp8.h"
#include "core/tensor.h"

namespace katman {

// Throws Error saying what could not be done.
inline void cublas_check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail("cannot {}: cuBLASLt says {}", what, cublasLtGetStatusString(status));
}

template <class T, auto destroy>
struct Deleter {
  void operator()(T* t) const { (void)destroy(t); }
};
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t,
                               Deleter<cublasLtMatrixLayoutOpaque_t, cublasLtMatrixLayoutDestroy>>;
using Desc = std::unique_ptr<cublasLtMatmulDescOpaque_t,
                             Deleter<cublasLtMatmulDescOpaque_t, cublasLtMatmulDescDestroy>>;
using Preference =
    std::unique_ptr<cublasLtMatmulPreferenceOpaque_t,
                    Deleter<cublasLtMatmulPreferenceOpaque_t, cublasLtMatmulPreferenceDestroy>>;

template <class T>
void set(const Desc& desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  cublas_check(cublasLtMatmulDescSetAttribute(desc.get(), attribute, &value, sizeof value),
               "describe a product");
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  cublas_check(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
      "describe how to choose a product's algorithm");
}

inline cudaDataType_t data_type(DType type) {
  return type == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}
inline cudaDataType_t data_type(DType type, Fp8 fp8) {
  return fp8 == Fp8::e4m3 ? CUDA_R_8F_E4M3 : fp8 == Fp8::e5m2 ? CUDA_R_8F_E5M2 : data_type(type);
}

// A row-major [rows, columns] matrix is a column-major [columns, rows] one.
inline Layout layout_of(cudaDataType_t type, int64_t rows, int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  cublas_check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(columns),
                                          static_cast<uint64_t>(rows), columns),
               "describe a matrix");
  return Layout(layout);
}

}  // namespace katman
