#include "core/cuda/gemm.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "core/cuda/check.h"
#include "core/cuda/cublas.h"
#include "core/cuda/device.h"
#include "core/cuda/fp8.h"
#include "core/cuda/kernels/compare.h"
#include "core/cuda/kernels/gemm.h"
#include "core/cuda/with_type.h"

namespace katman {
namespace {

// What NVIDIA recommends for Hopper; smaller devices need less.
constexpr int64_t workspace_bytes = 32 << 20;
constexpr int most_proposals = 8;
// Memory for the results of algorithms that are measured; products that would need more trust the
// first proposal.
constexpr int64_t most_scratch_bytes = 512 << 20;

cublasLtEpilogue_t epilogue_of(const GemmKind& kind) {
  switch (kind.epilogue) {
    case Gemm::Epilogue::none:
      return kind.bias_grad ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT;
    case Gemm::Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Gemm::Epilogue::bias_gelu:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Gemm::Epilogue::gelu_grad:
      return CUBLASLT_EPILOGUE_DGELU;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

uint32_t alignment_of(const Tensor& t) {
  if (!t) return 256;
  const auto address = reinterpret_cast<uintptr_t>(t.raw()) | 256;
  return static_cast<uint32_t>(address & (~address + 1));
}

bool has_epilogue(const GemmKind& kind) {
  return kind.epilogue != Gemm::Epilogue::none || kind.bias_grad;
}

// Which epilogues are cuBLASLt's: those that it documents, less what it is known to get wrong. For
// k = 1 versions of it gave wrong gradients of biases, and for odd shapes read what is not theirs;
// its GELU may be an approximation that is good enough for bf16 only.
bool can_fuse(const GemmKind& kind) {
  if (!has_epilogue(kind)) return true;
  const auto& [a, b, c, aux] = kind.alignment;
  if (kind.bias_grad)
    return kind.k > 1 && kind.m % 8 == 0 && kind.n % 8 == 0 && std::min({a, b, c}) >= 16;
  if (kind.in != kind.out) return false;
  return kind.epilogue == Gemm::Epilogue::bias ||
         (kind.in == DType::bf16 && kind.n % 8 == 0 && aux >= 16);
}

// An answer that leaves other ways to compute a product.
bool is_refusal(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
}

void set_scales(const Desc& desc, const Tensor& a_inverse, const Tensor& b_inverse) {
  // Its A is our B.
  set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(b_inverse.raw()));
  set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(a_inverse.raw()));
}

bool has_bias(const Gemm& g) {
  return g.epilogue == Gemm::Epilogue::bias || g.epilogue == Gemm::Epilogue::bias_gelu;
}
bool has_aux(const Gemm& g) {
  return g.epilogue == Gemm::Epilogue::bias_gelu || g.epilogue == Gemm::Epilogue::gelu_grad;
}

template <class In, class Out>
void run_plain_as(const Gemm& g, const GemmSize& size, bool accumulate, cudaStream_t stream) {
  const auto* a = reinterpret_cast<const In*>(g.a.raw());
  const auto* b = reinterpret_cast<const In*>(g.b.raw());
  kernels::PlainGemm<In, Out> p;
  p.a = {a, g.a_transposed ? 1 : size.k, g.a_transposed ? size.m : 1};
  p.b = {b, g.b_transposed ? 1 : size.n, g.b_transposed ? size.k : 1};
  p.c = g.c.data<Out>();
  p.bias = has_bias(g) ? g.bias.data<In>() : nullptr;
  p.aux = has_aux(g) ? g.aux.data<Out>() : nullptr;
  p.m = size.m;
  p.n = size.n;
  p.k = size.k;
  p.accumulate = accumulate;
  p.gelu_grad = g.epilogue == Gemm::Epilogue::gelu_grad;
  kernels::gemm(stream, p);
}

// Every product of operands of `type` and of every shape, by a kernel that only wants to be right.
// With k = 0 and accumulate, the epilogue of a product that already lies in C: A and B are not
// read.
void run_plain(const Gemm& g, DType type, const GemmSize& size, bool accumulate,
               cudaStream_t stream) {
  if (type == DType::f32) return run_plain_as<float, float>(g, size, accumulate, stream);
  if (g.c.dtype() == DType::f32) return run_plain_as<bf16, float>(g, size, accumulate, stream);
  run_plain_as<bf16, bf16>(g, size, accumulate, stream);
}

}  // namespace

GemmKind Products::kind_of(const Job& g, const GemmSize& size) {
  return {size.m,
          size.n,
          size.k,
          g.a_transposed,
          g.b_transposed,
          g.accumulate,
          static_cast<bool>(g.bias_grad),
          g.epilogue,
          g.type,
          g.c.dtype(),
          g.has_codes() ? g.a_fp8 : Fp8::none,
          g.has_codes() ? g.b_fp8 : Fp8::none,
          {alignment_of(g.a), alignment_of(g.b), alignment_of(g.c),
           has_aux(g) ? alignment_of(g.aux) : 256}};
}

struct Products::Plan {
  Way way = Way::plain;
  Desc desc;
  Layout a, b, c;  // as cuBLASLt names them: its A is our B
  cublasLtMatmulAlgo_t algo = {};
};

// An epilogue in a kernel of its own reads the product as it was rounded to C.
Products::Way Products::way_of(const GemmKind& kind) {
  if (kind.m == 0 || kind.n == 0 || kind.k == 0) return Way::plain;
  if (can_fuse(kind)) return Way::fused;
  return kind.bias_grad || kind.out == DType::f32 ? Way::epilogue_apart : Way::plain;
}

Products::Products(Backend& backend, const CudaDevice& device, cudaStream_t stream)
    : backend_(backend),
      stream_(stream),
      device_has_fp8_(std::pair(device.major, device.minor) >= std::pair(8, 9)) {
  cublas_check(cublasLtCreate(&handle_), "start cuBLASLt");
}
Products::~Products() { (void)cublasLtDestroy(handle_); }

void Products::allow_tf32(bool on) {
  if (on == tf32_) return;
  tf32_ = on;
  plans_.clear();
}

void Products::allow_any_order(bool on) {
  if (on == any_order_) return;
  any_order_ = on;
  plans_.clear();
}

std::unique_ptr<Products::Plan> Products::describe(const Job& g, const GemmKind& kind) const {
  auto plan = std::make_unique<Plan>();
  plan->way = way_of(kind);
  if (plan->way != Way::fused) return plan;
  cublasLtMatmulDesc_t desc = nullptr;
  const auto compute =
      kind.in == DType::f32 && tf32_ ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublas_check(cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F), "describe a product");
  plan->desc.reset(desc);
  const auto operation = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(plan->desc, CUBLASLT_MATMUL_DESC_TRANSA, operation(kind.b_transposed));
  set(plan->desc, CUBLASLT_MATMUL_DESC_TRANSB, operation(kind.a_transposed));
  set(plan->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(kind));
  if (has_bias(g)) {
    set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(kind.in));
    set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(g.bias.raw()));
  }
  if (g.bias_grad) {
    set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
    set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(g.bias_grad.raw()));
  }
  if (has_aux(g)) {
    set(plan->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, kind.n);
    set(plan->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(g.aux.raw()));
  }
  if (g.has_codes()) set_scales(plan->desc, g.a_inverse, g.b_inverse);
  plan->a = layout_of(data_type(kind.in, kind.b_fp8), g.b.extent(0), g.b.extent(1));
  plan->b = layout_of(data_type(kind.in, kind.a_fp8), g.a.extent(0), g.a.extent(1));
  plan->c = layout_of(data_type(kind.out), kind.m, kind.n);
  return plan;
}

Tensor Products::sums_for(const Job& g) const {
  return g.bias_grad ? backend_.empty(g.bias_grad.shape(), DType::f32) : Tensor();
}

cublasStatus_t Products::start(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Job& g,
                               const Output& to) const {
  if (has_bias(g))
    set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(g.bias.raw()));
  if (to.sums) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(to.sums.raw()));
  if (has_aux(g))
    set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(g.aux.raw()));
  if (g.has_codes()) set_scales(plan.desc, g.a_inverse, g.b_inverse);
  const float alpha = 1, beta = g.accumulate ? 1 : 0;
  return cublasLtMatmul(handle_, plan.desc.get(), &alpha, g.b.raw(), plan.a.get(), g.a.raw(),
                        plan.b.get(), &beta, g.c.raw(), plan.c.get(), to.d.raw(), plan.c.get(),
                        &algo, workspace_.raw(), workspace_bytes, stream_);
}

float Products::measure_ms(const Plan& plan, const cublasLtMatmulAlgo_t& algo, const Job& g,
                           const Output& to) const {
  constexpr int runs = 3;
  const Event begin(true), end(true);
  // The first run loads the kernel; it may turn out not to take this product after all.
  if (start(plan, algo, g, to) != CUBLAS_STATUS_SUCCESS) return INFINITY;
  begin.record(stream_);
  for (int run = 0; run < runs; ++run)
    cublas_check(start(plan, algo, g, to), "measure a matrix product");
  end.record(stream_);
  return end.ms_since(begin) / runs;
}

bool Products::same_bits(const Tensor& a, const Tensor& b) const {
  const Tensor differs = backend_.zeros({1}, DType::i32);
  kernels::find_difference(stream_, a.raw(), b.raw(), a.bytes(), differs.data<int32_t>());
  int32_t found = 0;
  backend_.download(differs, &found);
  return found == 0;
}

// What the heuristics propose, the best first; nothing when the library cannot compute this.
std::vector<cublasLtMatmulAlgo_t> Products::propose(const Plan& plan, const GemmKind& kind) const {
  cublasLtMatmulPreference_t raw = nullptr;
  cublas_check(cublasLtMatmulPreferenceCreate(&raw), "describe how to choose an algorithm");
  const Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(any_order_ ? CUBLASLT_REDUCTION_SCHEME_MASK
                                       : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kind.alignment[1]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kind.alignment[0]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kind.alignment[2]);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kind.alignment[2]);
  std::array<cublasLtMatmulHeuristicResult_t, most_proposals> found = {};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, plan.desc.get(), plan.a.get(), plan.b.get(), plan.c.get(), plan.c.get(),
      preference.get(), most_proposals, found.data(), &count);
  if (!is_refusal(status)) cublas_check(status, "choose a product's algorithm");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (const auto& result : std::span(found.data(), static_cast<size_t>(count)))
    if (result.state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(result.algo);
  return algorithms;
}

void Products::give_up(Plan& plan, const Job& g, const GemmKind& kind) {
  const bool apart = has_epilogue(kind);
  plan.way = apart ? Way::epilogue_apart : Way::plain;
  spdlog::warn("cuBLASLt has no algorithm for a product of {} x {} x {} in {}{}", kind.m, kind.n,
               kind.k, g.has_codes() ? "8-bit floats" : name_of(kind.in),
               apart           ? " with its epilogue: two kernels compute it"
               : g.has_codes() ? ": it is computed in BF16"
                               : ": a slow kernel computes it");
}

void Products::choose(Plan& plan, const Job& g, const GemmKind& kind) const {
  const auto algorithms = propose(plan, kind);
  if (algorithms.empty()) return give_up(plan, g, kind);
  plan.algo = algorithms[0];
  // C may hold one of the two results that are compared, unless it is read, too.
  const bool c_is_free = !g.accumulate && g.c.raw() != g.a.raw() && g.c.raw() != g.aux.raw();
  if (algorithms.size() == 1 || g.c.bytes() * (c_is_free ? 1 : 2) > most_scratch_bytes) return;
  const Output first{backend_.empty(g.c.shape(), g.c.dtype()), sums_for(g)},
      other{c_is_free ? g.c : backend_.empty(g.c.shape(), g.c.dtype()), sums_for(g)};
  const auto agree = [&] {
    return same_bits(first.d, other.d) && (!first.sums || same_bits(first.sums, other.sums));
  };
  float best = INFINITY;  // of those whose result is that of the first one that works
  for (const auto& algo : algorithms) {
    const bool is_first = best == INFINITY;
    const float ms = measure_ms(plan, algo, g, is_first ? first : other);
    if (ms >= best || !(is_first || any_order_ || agree())) continue;
    best = ms;
    plan.algo = algo;
  }
  if (best == INFINITY) give_up(plan, g, kind);
}

Products::Plan& Products::plan_for(const Job& g, const GemmSize& size) {
  const GemmKind kind = kind_of(g, size);
  auto& plan = plans_[kind];
  if (!plan) {
    if (!workspace_) workspace_ = backend_.empty({workspace_bytes}, DType::u8);
    auto fresh = describe(g, kind);
    if (fresh->way == Way::fused) choose(*fresh, g, kind);
    plan = std::move(fresh);
  }
  return *plan;
}

bool Products::run(const Job& job, const GemmSize& size) {
  Plan& plan = plan_for(job, size);
  switch (plan.way) {
    case Way::fused: {
      const Output to{job.c, sums_for(job)};
      const cublasStatus_t status = start(plan, plan.algo, job, to);
      if (is_refusal(status)) {  // of an algorithm that could not be tried before
        give_up(plan, job, kind_of(job, size));
        return run(job, size);
      }
      cublas_check(status, "start a matrix product");
      if (to.sums) backend_.add(job.bias_grad, to.sums, job.bias_grad);
      return true;
    }
    case Way::plain:
      if (job.has_codes()) return false;
      run_plain(job, job.type, size, job.accumulate, stream_);
      if (job.bias_grad) backend_.bias_grad(job.a, job.bias_grad);
      return true;
    case Way::epilogue_apart: {
      Job product = job;
      product.epilogue = Gemm::Epilogue::none;
      product.bias_grad = {};
      if (!run(product, size)) return false;
      if (job.epilogue != Gemm::Epilogue::none)
        run_plain(job, job.type, {size.m, size.n, 0}, true, stream_);
      if (job.bias_grad) backend_.bias_grad(job.a, job.bias_grad);
      return true;
    }
  }
  return false;
}

bool Products::has_units_for_fp8(const Gemm& g, const GemmSize& size) const {
  const auto fits = [](int64_t extent) { return extent > 0 && extent % 16 == 0; };
  return device_has_fp8_ && g.a.dtype() == DType::bf16 && fits(size.m) && fits(size.n) &&
         fits(size.k) && alignment_of(g.a) >= 16 && alignment_of(g.b) >= 16 &&
         (g.a_fp8 == Fp8::e4m3 || g.b_fp8 == Fp8::e4m3);
}

void Products::run_fp8(const Gemm& g, const GemmSize& size) {
  if (has_units_for_fp8(g, size)) {
    const Fp8Codes a = encoded(backend_, g.a, g.a_fp8, g.a_transposed, stream_);
    const Fp8Codes b = encoded(backend_, g.b, g.b_fp8, !g.b_transposed, stream_);
    Job job{g, g.a.dtype(), a.inverse, b.inverse};
    job.a = a.codes;  // [m, k]
    job.b = b.codes;  // [n, k]
    job.a_transposed = false;
    job.b_transposed = true;
    if (run(job, size)) return;
  }
  if (!device_has_fp8_ && !std::exchange(told_of_fp8_, true))
    spdlog::warn(
        "this device has no tensor cores for 8-bit floats: rounded values are multiplied "
        "in {}, no faster than without",
        name_of(g.a.dtype()));
  Gemm wide = g;
  wide.a = rounded(backend_, g.a, g.a_fp8, stream_);
  wide.b = rounded(backend_, g.b, g.b_fp8, stream_);
  wide.a_fp8 = wide.b_fp8 = Fp8::none;
  run(wide);
}

void Products::run(const Gemm& g) {
  const GemmSize size = check_gemm(g);
  if (g.a_fp8 == Fp8::none) {
    run(Job{g, g.a.dtype()}, size);
    return;
  }
  Gemm product = g;
  product.bias_grad = {};  // not of the codes
  run_fp8(product, size);
  if (g.bias_grad) backend_.bias_grad(g.a, g.bias_grad);
}

}  // namespace katman
