#include "core/cuda/kernels/attention.h"

#include <cmath>

#include "core/check.h"
#include "core/cuda/cuda.h"
#include "core/cuda/kernels/rope.h"
#include "core/cuda/with_type.h"

namespace katman {
namespace {

// Where heads lie in rows of qkv.
template <class T>
struct QkvHeads {
  QkvHeads(T* qkv, const AttentionShape& s)
      : q(qkv), k(qkv + s.queries_per_group * s.head_dim), v(k + s.head_dim) {
    strides.token = s.qkv_columns();
    strides.sequence = s.length * strides.token;
    strides.group = (s.queries_per_group + 2) * s.head_dim;
    strides.head = s.head_dim;
  }
  T *q, *k, *v;
  kernels::HeadStrides strides;
};

kernels::HeadStrides cache_strides(const Tensor& cache) {
  kernels::HeadStrides strides;
  strides.group = cache.extent(3);
  strides.token = cache.extent(2) * strides.group;
  strides.sequence = cache.extent(1) * strides.token;
  return strides;
}

kernels::AttentionMask mask_of(const AttentionShape& s) {
  kernels::AttentionMask mask;
  mask.window = s.window;
  mask.document_start = data_or_none<int32_t>(s.document_start);
  mask.dropout = s.dropout;
  mask.dropout_key = s.dropout_key;
  mask.heads_global = static_cast<uint64_t>(s.heads_global > 0 ? s.heads_global : s.heads());
  mask.first_matrix = static_cast<uint64_t>(s.sequence_begin) * mask.heads_global +
                      static_cast<uint64_t>(s.head_begin);
  return mask;
}

template <class T>
kernels::AttentionForward<T> forward_of(const Tensor& qkv, const AttentionShape& s,
                                        const Tensor& out, const Tensor& lse) {
  require(s.head_dim <= kernels::largest_head,
          "attention on CUDA takes heads of at most {} elements, not {}", kernels::largest_head,
          s.head_dim);
  const QkvHeads heads(qkv.data<T>(), s);
  kernels::AttentionForward<T> p = {};
  p.q = heads.q;
  p.k = heads.k;
  p.v = heads.v;
  p.q_strides = p.kv_strides = heads.strides;
  p.out = out.data<T>();
  p.lse = data_or_none<float>(lse);
  p.mask = mask_of(s);
  p.sequences = s.sequences;
  p.length = s.length;
  p.groups = static_cast<int>(s.groups);
  p.queries_per_group = static_cast<int>(s.queries_per_group);
  p.head_dim = static_cast<int>(s.head_dim);
  p.scale = 1 / std::sqrt(static_cast<float>(s.head_dim));
  return p;
}

// On tensor cores where they can.
void run(cudaStream_t stream, const kernels::AttentionForward<float>& p) {
  kernels::attention_plain(stream, p);
}
void run(cudaStream_t stream, const kernels::AttentionForward<bf16>& p) {
  kernels::attention_mma_takes(p) ? kernels::attention_mma(stream, p)
                                  : kernels::attention_plain(stream, p);
}
void run(cudaStream_t stream, const kernels::AttentionBackward<float>& p) {
  kernels::attention_plain_grad(stream, p);
}
void run(cudaStream_t stream, const kernels::AttentionBackward<bf16>& p) {
  // dqkv and dout are laid out as qkv and out are.
  kernels::attention_mma_takes(p) ? kernels::attention_mma_grad(stream, p)
                                  : kernels::attention_plain_grad(stream, p);
}

}  // namespace

void CudaBackend::attention(const Tensor& qkv, const AttentionShape& shape, const Tensor& out,
                            const Tensor& lse) {
  check_attention(shape, qkv, out);
  if (fused_.takes(qkv, shape)) return fused_.forward(qkv, shape, out, lse);
  with_type(qkv, [&]<class T>(T*) { run(stream_, forward_of<T>(qkv, shape, out, lse)); });
}

void CudaBackend::attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                                 const Tensor& lse, const AttentionShape& shape,
                                 const Tensor& dqkv) {
  const int64_t tokens = check_attention(shape, qkv, out);
  check_rows("attention_grad", out, {dout});
  check_rows("attention_grad", qkv, {dqkv});
  if (fused_.takes(qkv, shape)) return fused_.backward(dout, qkv, out, lse, shape, dqkv);
  const Tensor delta = empty({shape.heads(), tokens}, DType::f32);
  with_type(qkv, [&]<class T>(T*) {
    const QkvHeads gradients(dqkv.data<T>(), shape);
    kernels::AttentionBackward<T> p = {};
    p.forward = forward_of<T>(qkv, shape, out, lse);
    p.dout = dout.data<T>();
    p.delta = delta.data<float>();
    p.dq = gradients.q;
    p.dk = gradients.k;
    p.dv = gradients.v;
    run(stream_, p);
  });
}

void CudaBackend::attention_cached(const Tensor& qkv, const AttentionShape& shape, int64_t past,
                                   const Tensor& k_cache, const Tensor& v_cache,
                                   const Tensor& out) {
  check_attention(shape, qkv, out);
  check_caches(shape, past, qkv, k_cache, v_cache);
  with_type(qkv, [&]<class T>(T* data) {
    const QkvHeads heads(data, shape);
    kernels::CacheAppend<T> append = {};
    append.k = heads.k;
    append.v = heads.v;
    append.from = heads.strides;
    append.k_cache = k_cache.data<T>();
    append.v_cache = v_cache.data<T>();
    append.cache = cache_strides(k_cache);
    append.sequences = shape.sequences;
    append.length = shape.length;
    append.past = past;
    append.groups = static_cast<int>(shape.groups);
    append.head_dim = static_cast<int>(shape.head_dim);
    kernels::append_to_cache(stream_, append);

    auto p = forward_of<T>(qkv, shape, out, {});
    p.k = append.k_cache;
    p.v = append.v_cache;
    p.kv_strides = append.cache;
    p.past = past;
    run(stream_, p);
  });
}

void CudaBackend::rope(const Tensor& qkv, const AttentionShape& s, const Tensor& frequencies,
                       int64_t past, int direction) {
  const int64_t tokens = check_attention(s, qkv, {}), half = s.head_dim / 2;
  check_rope(s, frequencies);
  const Tensor turns = empty({s.length, 2 * half}, DType::f32);
  kernels::rope_turns(stream_, turns.data<float>(), s.length, half, past,
                      frequencies.data<float>());
  const kernels::RopeShape shape{tokens, s.length, s.groups, s.queries_per_group, half};
  with_type(qkv, [&](auto* data) {
    kernels::rope(stream_, data, shape, turns.data<float>(), static_cast<float>(direction));
  });
}

}  // namespace katman
