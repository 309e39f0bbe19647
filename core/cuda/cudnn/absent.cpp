// For the library that does without cuDNN: attention runs on our own kernels.
#include "core/cuda/fused_attention.h"

namespace katman {

struct FusedAttention::Plans {};

FusedAttention::FusedAttention(Backend& backend, cudaStream_t stream)
    : backend_(backend), stream_(stream) {}
FusedAttention::~FusedAttention() = default;

std::string FusedAttention::name() { return {}; }
void FusedAttention::allow_any_order(bool) {}
bool FusedAttention::takes(const Tensor&, const AttentionShape&) { return false; }
void FusedAttention::forward(const Tensor&, const AttentionShape&, const Tensor&, const Tensor&) {
  fail("this library has no cuDNN");
}
void FusedAttention::backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                              const AttentionShape&, const Tensor&) {
  fail("this library has no cuDNN");
}

}  // namespace katman
