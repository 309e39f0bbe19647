// Operations that follow in the next commits.
#include "core/cuda/cuda.h"

namespace katman {
namespace {
[[noreturn]] void later(const char* what) { fail("{} does not run on CUDA yet", what); }
}  // namespace

void CudaBackend::gemm(const Gemm&) { later("gemm"); }
void CudaBackend::bias_grad(const Tensor&, const Tensor&) { later("bias_grad"); }
void CudaBackend::attention(const Tensor&, const AttentionShape&, const Tensor&, const Tensor&) {
  later("attention");
}
void CudaBackend::attention_grad(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                 const AttentionShape&, const Tensor&) {
  later("attention_grad");
}
void CudaBackend::attention_cached(const Tensor&, const AttentionShape&, int64_t, const Tensor&,
                                   const Tensor&, const Tensor&) {
  later("attention_cached");
}
void CudaBackend::layernorm(const Tensor&, const Tensor&, const Tensor&, const Tensor&, float,
                            const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  later("layernorm");
}
void CudaBackend::layernorm_grad(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                 const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                 const Tensor&) {
  later("layernorm_grad");
}
void CudaBackend::rmsnorm(const Tensor&, const Tensor&, const Tensor&, float, const Tensor&,
                          const Tensor&, const Tensor&) {
  later("rmsnorm");
}
void CudaBackend::rmsnorm_grad(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                               const Tensor&, const Tensor&, const Tensor&) {
  later("rmsnorm_grad");
}
void CudaBackend::rope(const Tensor&, const AttentionShape&, float, int64_t, int) { later("rope"); }
void CudaBackend::embed(const Tensor&, const Tensor&, int64_t, const Tensor&, int64_t, int64_t,
                        const Tensor&) {
  later("embed");
}
void CudaBackend::embed_grad(const Tensor&, const Tensor&, int64_t, int64_t, int64_t, const Tensor&,
                             const Tensor&) {
  later("embed_grad");
}
void CudaBackend::xent_stats(const Tensor&, const Tensor&, int64_t, int64_t, const Tensor&) {
  later("xent_stats");
}
void CudaBackend::xent_finish(const Tensor&, const Tensor&, int64_t, int64_t, const Tensor&, bool,
                              const Tensor&) {
  later("xent_finish");
}
void CudaBackend::sum_squares(const Tensor&, const Tensor&) { later("sum_squares"); }
void CudaBackend::sum(const Tensor&, const Tensor&) { later("sum"); }
void CudaBackend::adamw(const AdamW&) { later("adamw"); }

}  // namespace katman
