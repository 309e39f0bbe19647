#include <cmath>
#include <vector>

#include "core/bf16.h"
#include "core/fp8.h"
#include "tests/emulated_cuda/cublasLt.h"

namespace {
using katman::bf16;
using katman::Fp8;

bool is_fp8(cudaDataType_t type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }
float get(const void* data, cudaDataType_t type, int64_t at) {
  if (is_fp8(type))
    return katman::fp8_value(static_cast<const uint8_t*>(data)[at],
                             type == CUDA_R_8F_E4M3 ? Fp8::e4m3 : Fp8::e5m2);
  return type == CUDA_R_32F ? static_cast<const float*>(data)[at]
                            : static_cast<float>(static_cast<const bf16*>(data)[at]);
}
void put(void* data, cudaDataType_t type, int64_t at, float value) {
  if (type == CUDA_R_32F)
    static_cast<float*>(data)[at] = value;
  else
    static_cast<bf16*>(data)[at] = bf16(value);
}

// To 10 bits of fraction, to nearest.
float to_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x1000) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

// cuBLASLt's GELU is the tanh form.
double gelu_tanh(double x) { return std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)); }
float gelu(float x) { return static_cast<float>(0.5 * x * (1 + gelu_tanh(x))); }
float gelu_slope(float x) {
  const double t = gelu_tanh(x), inner = 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
  return static_cast<float>(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner);
}

// Element (i, j) of op(X), X column-major.
struct Operand {
  const void* data;
  cublasLtMatrixLayoutOpaque_t layout;
  bool transposed;

  int64_t rows() const { return transposed ? layout.cols : layout.rows; }
  int64_t cols() const { return transposed ? layout.rows : layout.cols; }
  float at(int64_t i, int64_t j) const {
    return get(data, layout.type, transposed ? j + i * layout.ld : i + j * layout.ld);
  }
};

struct Product {
  Operand a, b;
  const void* c;
  void* d;
  cublasLtMatrixLayoutOpaque_t c_layout, d_layout;
  cublasLtMatmulDescOpaque_t desc;
  float alpha, beta;
  bool backwards;

  float operand(float x) const {
    return desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? to_tf32(x) : x;
  }
  float sum(const std::vector<float>& row, const std::vector<float>& column) const {
    float total = 0;
    const auto k = static_cast<int64_t>(row.size());
    for (int64_t q = 0; q < k; ++q) {
      const auto at = static_cast<size_t>(backwards ? k - 1 - q : q);
      total += row[at] * column[at];
    }
    return total;
  }
  float scale() const {
    const auto of = [](const void* scale) {
      return scale ? *static_cast<const float*>(scale) : 1.0f;
    };
    return alpha * of(desc.a_scale) * of(desc.b_scale);
  }
  void finish(int64_t i, int64_t j, float value) const {
    if (beta != 0) value += beta * get(c, c_layout.type, i + j * c_layout.ld);
    const bool biased =
        desc.epilogue == CUBLASLT_EPILOGUE_BIAS || desc.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    if (biased) value += get(desc.bias, desc.bias_type, i);
    if (desc.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) {
      put(desc.aux, d_layout.type, i + j * desc.aux_ld, value);
      value = gelu(value);
    }
    if (desc.epilogue == CUBLASLT_EPILOGUE_DGELU)
      value *= gelu_slope(get(desc.aux, d_layout.type, i + j * desc.aux_ld));
    put(d, d_layout.type, i + j * d_layout.ld, value);
  }
  void run() const {
    std::vector<std::vector<float>> rows(static_cast<size_t>(d_layout.rows));
    for (int64_t i = 0; i < d_layout.rows; ++i)
      for (int64_t q = 0; q < a.cols(); ++q)
        rows[static_cast<size_t>(i)].push_back(operand(a.at(i, q)));
    for (int64_t j = 0; j < d_layout.cols; ++j) {
      std::vector<float> column;
      for (int64_t q = 0; q < b.rows(); ++q) column.push_back(operand(b.at(q, j)));
      if (desc.epilogue == CUBLASLT_EPILOGUE_BGRADB)
        put(desc.bias, desc.bias_type, j, sum(std::vector(column.size(), 1.0f), column));
      for (int64_t i = 0; i < d_layout.rows; ++i)
        finish(i, j, scale() * sum(rows[static_cast<size_t>(i)], column));
    }
  }
};

bool divisible(const void* address, size_t by) {
  return reinterpret_cast<uintptr_t>(address) % by == 0;
}

// Those on products of 8-bit floats: the first operand transposed, the second not; multiples of 16
// everywhere; no two of E5M2; results that are wider.
bool is_sound_fp8(const cublasLtMatmulDescOpaque_t& desc, const Operand& a, const Operand& b,
                  const cublasLtMatrixLayoutOpaque_t& d) {
  const bool whole = d.rows % 16 == 0 && d.cols % 16 == 0 && a.cols() % 16 == 0;
  const bool both_e5m2 = a.layout.type == CUDA_R_8F_E5M2 && b.layout.type == CUDA_R_8F_E5M2;
  return desc.transa == CUBLAS_OP_T && desc.transb == CUBLAS_OP_N && whole && !both_e5m2 &&
         !is_fp8(d.type) && desc.a_scale && desc.b_scale;
}

// The manual's conditions on shapes and epilogues.
bool is_sound(const cublasLtMatmulDescOpaque_t& desc, const Operand& a, const Operand& b,
              const cublasLtMatrixLayoutOpaque_t& d) {
  if (a.rows() != d.rows || b.cols() != d.cols || a.cols() != b.rows()) return false;
  if (a.layout.ld < a.layout.rows || b.layout.ld < b.layout.rows || d.ld < d.rows) return false;
  if (d.rows == 0 || d.cols == 0 || a.cols() == 0) return false;
  if (is_fp8(a.layout.type) != is_fp8(b.layout.type)) return false;
  if (is_fp8(a.layout.type) && !is_sound_fp8(desc, a, b, d)) return false;
  if (!is_fp8(a.layout.type) && a.layout.type != b.layout.type) return false;
  if (desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return true;
  if (desc.epilogue == CUBLASLT_EPILOGUE_BGRADB)
    return desc.bias && desc.bias_type == d.type && !is_fp8(b.layout.type) && a.cols() > 1 &&
           d.rows % 8 == 0 && d.cols % 8 == 0;
  const bool needs_aux = desc.epilogue != CUBLASLT_EPILOGUE_BIAS;
  const bool needs_bias = desc.epilogue != CUBLASLT_EPILOGUE_DGELU;
  if (needs_bias && (!desc.bias || desc.bias_type != d.type)) return false;
  return !needs_aux ||
         (desc.aux && desc.aux_ld % 8 == 0 && desc.aux_ld >= d.rows && divisible(desc.aux, 16));
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
size_t cublasLtGetVersion() { return 0; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "an error";
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t) {
  *desc = new cublasLtMatmulDescOpaque_t{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  const auto read = [&](auto& field) {
    if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return read(desc->transa);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return read(desc->transb);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return read(desc->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return read(desc->bias);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return read(desc->aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return read(desc->aux_ld);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      return read(desc->a_scale);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      return read(desc->b_scale);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return read(desc->bias_type);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<int64_t>(rows),
                                             static_cast<int64_t>(cols), ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t) {
  if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES)
    std::memcpy(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES],
                value, sizeof(uint32_t));
  return CUBLAS_STATUS_SUCCESS;
}

// Two proposals: a sum from the front, and one from the back.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = 0;
  const Operand left{nullptr, *a, desc->transa == CUBLAS_OP_T},
      right{nullptr, *b, desc->transb == CUBLAS_OP_T};
  if (!is_sound(*desc, left, right, *d) || most < 2) return CUBLAS_STATUS_NOT_SUPPORTED;
  // A library may lack an epilogue in some type: the caller must have another way.
  if (desc->epilogue == CUBLASLT_EPILOGUE_DGELU && d->cols % 2 == 1)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (desc->epilogue == CUBLASLT_EPILOGUE_BGRADB && a->type == CUDA_R_32F)
    return CUBLAS_STATUS_INVALID_VALUE;
  for (uint64_t i = 0; i < 2; ++i) {
    results[i] = {};
    // How far the proposal may go: the alignment that it was chosen for.
    for (size_t operand = 0; operand < 4; ++operand)
      results[i].algo.data[1 + operand] = preference->alignment[operand];
    results[i].algo.data[0] = i;
  }
  *found = 2;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const Product product{{a, *a_layout, desc->transa == CUBLAS_OP_T},
                        {b, *b_layout, desc->transb == CUBLAS_OP_T},
                        c,
                        d,
                        *c_layout,
                        *d_layout,
                        *desc,
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta),
                        algo->data[0] == 1};
  const bool aligned = divisible(a, algo->data[1]) && divisible(b, algo->data[2]) &&
                       divisible(c, algo->data[3]) && divisible(d, algo->data[4]) &&
                       divisible(workspace, 256) && workspace_bytes > 0;
  if (!aligned || !is_sound(*desc, product.a, product.b, *d_layout))
    return CUBLAS_STATUS_INVALID_VALUE;
  emulated::enqueue(stream, [product] {
    emulated::tell(emulated::Activity::Kind::kernel, "product");
    product.run();
  });
  return CUBLAS_STATUS_SUCCESS;
}
