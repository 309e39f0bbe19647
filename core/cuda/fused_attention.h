// Attention by cuDNN's fused kernels: on Hopper and later the fastest there is.
#pragma once

#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "core/backend.h"

namespace katman {

// cuDNN builds a graph per shape and plans it once; the plan is kept. This file has two
// implementations, one for each of the libraries that CMake makes: cudnn/fused.cpp in
// libkatman_cuda_cudnn.so, which needs cuDNN, and cudnn/absent.cpp in libkatman_cuda.so, which
// takes nothing.
class FusedAttention {
 public:
  FusedAttention(Backend& backend, cudaStream_t stream);
  ~FusedAttention();

  // "cuDNN 9.19", or nothing in the library without it.
  static std::string name();

  // bf16, heads of up to 128 elements in steps of 8 that one stride reaches, all keys before the
  // query: no documents, no window, no dropout. The rest is for our own kernels, and so is a shape
  // for which cuDNN has no plan (said once in the log).
  bool takes(const Tensor& qkv, const AttentionShape& shape);

  void allow_any_order(bool on);  // see Backend

  // As Backend::attention and attention_grad. The gradients are added up in a fixed order,
  // unless any is allowed.
  void forward(const Tensor& qkv, const AttentionShape& shape, const Tensor& out,
               const Tensor& lse);
  void backward(const Tensor& dout, const Tensor& qkv, const Tensor& out, const Tensor& lse,
                const AttentionShape& shape, const Tensor& dqkv);

 private:
  struct Plans;
  using ShapeKey = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>;
  Plans* plans_for(const AttentionShape& shape);
  void* handle();

  Backend& backend_;
  cudaStream_t stream_;
  void* handle_ = nullptr;  // cudnnHandle_t
  bool any_order_ = false;
  std::map<ShapeKey, std::unique_ptr<Plans>> plans_;
};

}  // namespace katman
