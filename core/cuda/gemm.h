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
#include "core/cuda/device.h"

namespace katman {

// What a plan depends on: everything but the addresses, of which only the alignment counts.
struct GemmKind {
  int64_t m = 0, n = 0, k = 0;
  bool a_transposed = false, b_transposed = false, accumulate = false, bias_grad = false;
  Gemm::Epilogue epilogue = Gemm::Epilogue::none;
  DType in = DType::f32, out = DType::f32;
  Fp8 a_fp8 = Fp8::none, b_fp8 = Fp8::none;
  std::array<uint32_t, 4> alignment{};  // of A, B, C and aux: bytes, a power of two up to 256
  auto operator<=>(const GemmKind&) const = default;
};

// cuBLASLt is column-major: it computes C^T [n, m] = op(B)^T op(A)^T, which needs no transposition
// of anything: a row-major matrix is its transpose, column-major. So its A is our B; our bias [n]
// is a vector over the rows of its D, as it wants it; aux, row-major [m, n], has D's leading
// dimension n; and a bias's gradient, [m], is the sums over k of its B. It writes these, and they
// are added to what was there by a kernel that reads nothing else: all of A need not be read again.
//
// Each kind of product is planned once. The heuristics propose up to eight algorithms; each is run
// and timed on the actual operands, into memory that nobody reads, and the fastest is kept among
// those whose result has the bits of the first proposal's. So measuring decides how fast a product
// is, never what it is: runs on one kind of GPU and one version of the library agree bit for bit,
// however the clock ran. Split sums are allowed only where their parts are added in f32 and in
// order.
//
// Tensor cores for 8-bit floats take both operands with k along their rows, so whatever the product
// asks for, its operands are encoded (and turned where needed) first. Sums are as exact as these
// units make them (CUBLASLT_MATMUL_DESC_FAST_ACCUM stays off): Hopper's keep some 14 bits between
// additions to f32 (DeepSeek-V3, 2024, 3.3.2). Where the device or the shape rules them out, the
// rounded values are multiplied in the operands' own type, which gives the same but for the order
// of sums.
class Products {
 public:
  Products(Backend& backend, const CudaDevice& device, cudaStream_t stream);
  ~Products();

  void allow_tf32(bool on);       // see Backend
  void allow_any_order(bool on);  // the same

  void run(const Gemm& g);

 private:
  // How: by cuBLASLt; by it, and the epilogue by a kernel of its own; by our own kernel.
  enum class Way { fused, epilogue_apart, plain };
  struct Plan;
  // What is multiplied: a product as it was asked for, or one whose operands became codes.
  struct Job : Gemm {
    DType type = DType::f32;                // of the operands, before they became codes
    Tensor a_inverse = {}, b_inverse = {};  // f32 [1]: see Fp8Codes
    bool has_codes() const { return static_cast<bool>(a_inverse); }
  };
  static GemmKind kind_of(const Job& g, const GemmSize& size);
  static Way way_of(const GemmKind& kind);
  // False: the library has no algorithm for its codes.
  bool run(const Job& job, const GemmSize& size);
  void run_fp8(const Gemm& g, const GemmSize& size);
  bool has_units_for_fp8(const Gemm& g, const GemmSize& size) const;
  Plan& plan_for(const Job& g, const GemmSize& size);
  std::unique_ptr<Plan> describe(const Job& g, const GemmKind& kind) const;
  std::vector<cublasLtMatmulAlgo_t> propose(const Plan& plan, const GemmKind& kind) const;
  // To another way than cuBLASLt's, and says so.
  static void give_up(Plan& plan, const Job& g, const GemmKind& kind);
  // Picks the plan's algorithm, or another way where the library has none.
  void choose(Plan& plan, const Job& g, const GemmKind& kind) const;
  // What the library writes: the product, and the sums of a bias's gradient where there are some.
  struct Output {
    Tensor d, sums = {};
  };
  Tensor sums_for(const Job& g) const;
  cublasStatus_t start(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Job& g,
                       const Output& to) const;
  // INFINITY for an algorithm that fails.
  float measure_ms(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Job& g,
                   const Output& to) const;
  bool same_bits(const Tensor& a, const Tensor& b) const;

  Backend& backend_;
  cudaStream_t stream_;
  bool device_has_fp8_, told_of_fp8_ = false, tf32_ = false, any_order_ = false;
  cublasLtHandle_t handle_ = nullptr;
  Tensor workspace_;
  std::map<GemmKind, std::unique_ptr<Plan>> plans_;
};

}  // namespace katman
