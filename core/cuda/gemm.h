// Matrix products by cuBLASLt, one plan per kind of product.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "core/check.h"

namespace katman {

void cublas_check(cublasStatus_t status, const char* what);

// What a plan depends on: everything but the addresses, of which only the alignment counts.
struct GemmKind {
  int64_t m = 0, n = 0, k = 0;
  bool a_transposed = false, b_transposed = false, accumulate = false;
  Gemm::Epilogue epilogue = Gemm::Epilogue::none;
  DType in = DType::f32, out = DType::f32;
  std::array<uint32_t, 4> alignment{};  // of A, B, C and aux: bytes, a power of two up to 256
  auto operator<=>(const GemmKind&) const = default;
};
GemmKind kind_of(const Gemm& g, const GemmSize& size);

// cuBLASLt is column-major: it computes C^T [n, m] = op(B)^T op(A)^T, which needs no transposition
// of anything: a row-major matrix is its transpose, column-major. So its A is our B; our bias [n]
// is a vector over the rows of its D, as it wants it; and aux, row-major [m, n], has D's leading
// dimension n.
//
// Each kind of product is planned once. The heuristics propose up to eight algorithms; each is run
// and timed on the actual operands, into scratch memory, and the fastest is kept among those whose
// result has the bits of the first proposal's. So measuring decides how fast a product is, never
// what it is: runs on one kind of GPU and one version of the library agree bit for bit, however the
// clock ran. Split sums are allowed only where their parts are added in f32 and in order.
class Products {
 public:
  Products(Backend& backend, cudaStream_t stream);
  ~Products();

  void allow_tf32(bool on);  // see Backend

  void run(const Gemm& g);

 private:
  struct Plan;
  const Plan& plan_for(const Gemm& g, const GemmSize& size);
  std::unique_ptr<Plan> describe(const Gemm& g, const GemmKind& kind) const;
  std::vector<cublasLtMatmulAlgo_t> propose(const Plan& plan, const GemmKind& kind) const;
  // Picks the plan's algorithm, or another way where the library has none.
  void choose(Plan& plan, const Gemm& g, const GemmKind& kind) const;
  cublasStatus_t start(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Gemm& g,
                       void* d) const;
  // INFINITY for an algorithm that fails.
  float measure_ms(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Gemm& g,
                   const Tensor& d) const;
  bool same_bits(const Tensor& a, const Tensor& b) const;

  Backend& backend_;
  cudaStream_t stream_;
  bool tf32_ = false;
  cublasLtHandle_t handle_ = nullptr;
  Tensor workspace_;
  std::map<GemmKind, std::unique_ptr<Plan>> plans_;
};

}  // namespace katman
