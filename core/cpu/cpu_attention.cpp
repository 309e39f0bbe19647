#include <cmath>

#include "core/check.h"
#include "core/cpu/cpu.h"
#include "core/cpu/parallel.h"

namespace katman {
namespace {

// Fills a 64 x 64 block of dropout factors; see AttentionShape::dropout_key.
void keep_factors(const void* context, int64_t sequence, int64_t head, int64_t first_key,
                  int64_t first_query, float* factors) {
  const auto& s = *static_cast<const AttentionShape*>(context);
  const int64_t heads = s.heads_global > 0 ? s.heads_global : s.heads();
  const int64_t matrix = (s.sequence_begin + sequence) * heads + s.head_begin + head;
  const float kept = 1 / (1 - s.dropout);
  for (int64_t j = 0; j < 64; ++j)
    for (int64_t i = 0; i < 64; ++i) {
      const int64_t element = (matrix * s.length + first_query + i) * s.length + first_key + j;
      const bool keep = random_uniform(s.dropout_key, static_cast<uint64_t>(element)) >= s.dropout;
      factors[j * 64 + i] = keep ? kept : 0;
    }
}

AttentionJob job_of(const AttentionShape& s) {
  AttentionJob job = {};
  job.sequences = s.sequences;
  job.length = s.length;
  job.groups = s.groups;
  job.queries_per_group = s.queries_per_group;
  job.head_dim = s.head_dim;
  job.window = s.window;
  job.qkv_columns = s.qkv_columns();
  job.document_start = s.document_start ? s.document_start.data<int32_t>() : nullptr;
  job.scale = 1 / std::sqrt(static_cast<float>(s.head_dim));
  job.keep = keep_factors;
  job.keep_context = s.dropout > 0 ? &s : nullptr;
  return job;
}

}  // namespace

void CpuBackend::attention(const Tensor& qkv, const AttentionShape& s, const Tensor& out,
                           const Tensor& lse) {
  check_attention(s, qkv, out);
  const AttentionJob job = job_of(s);
  const Tensor scratch = empty({threads_, kernels_.attention_scratch_bytes(job)}, DType::u8);
  parallel_items(threads_, s.sequences * s.groups, [&](int64_t item, int thread) {
    kernels(qkv).attention(job, qkv.raw(), out.raw(), lse.data<float>(), item / s.groups,
                           item % s.groups, scratch.raw() + thread * scratch.extent(1));
  });
}

void CpuBackend::attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                                const Tensor& lse, const AttentionShape& s, const Tensor& dqkv) {
  check_attention(s, qkv, out);
  check_rows("attention_grad", out, {dout});
  check_rows("attention_grad", qkv, {dqkv});
  const AttentionJob job = job_of(s);
  const Tensor scratch = empty({threads_, kernels_.attention_scratch_bytes(job)}, DType::u8);
  parallel_items(threads_, s.sequences * s.groups, [&](int64_t item, int thread) {
    kernels(qkv).attention_grad(job, dout.raw(), qkv.raw(), out.raw(), lse.data<float>(),
                                dqkv.raw(), item / s.groups, item % s.groups,
                                scratch.raw() + thread * scratch.extent(1));
  });
}

void CpuBackend::attention_cached(const Tensor& qkv, const AttentionShape& s, int64_t past,
                                  const Tensor& k_cache, const Tensor& v_cache, const Tensor& out) {
  const int64_t tokens = check_attention(s, qkv, out), d = s.head_dim;
  const int64_t capacity = check_caches(s, past, qkv, k_cache, v_cache);
  const int64_t size = bytes_of(qkv.dtype()), group_width = (s.queries_per_group + 2) * d;
  const auto cached = [&](const Tensor& cache, int64_t sequence, int64_t position, int64_t group) {
    return cache.raw() + ((sequence * capacity + position) * s.groups + group) * d * size;
  };
  for (int64_t row = 0; row < tokens; ++row)
    for (int64_t group = 0; group < s.groups; ++group) {
      const std::byte* k =
          qkv.raw() +
          (row * s.qkv_columns() + group * group_width + s.queries_per_group * d) * size;
      const int64_t sequence = row / s.length, position = past + row % s.length;
      std::copy_n(k, d * size, cached(k_cache, sequence, position, group));
      std::copy_n(k + d * size, d * size, cached(v_cache, sequence, position, group));
    }
  if (past == 0) return attention(qkv, s, out, empty({s.heads(), tokens}, DType::f32));
  const Tensor scores = empty({threads_, past + s.length + 16}, DType::f32);
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  // A head's queries one after another, while its keys and values are in the cache.
  parallel_items(threads_, s.sequences * s.heads(), [&](int64_t item, int thread) {
    const int64_t sequence = item / s.heads(), head = item % s.heads();
    const int64_t group = head / s.queries_per_group;
    const int64_t column = group * group_width + head % s.queries_per_group * d;
    for (int64_t i = 0; i < s.length; ++i) {
      const int64_t row = sequence * s.length + i, position = past + i;
      int64_t first = s.window > 0 ? std::max<int64_t>(0, position - s.window + 1) : 0;
      if (s.document_start) first = std::max<int64_t>(first, s.document_start.data<int32_t>()[row]);
      kernels(qkv).attend_one(qkv.raw() + (row * s.qkv_columns() + column) * size,
                              cached(k_cache, sequence, 0, group),
                              cached(v_cache, sequence, 0, group), s.groups * d, first, position, d,
                              scale, scores.data<float>() + thread * scores.extent(1),
                              out.raw() + (row * s.heads() + head) * d * size);
    }
  });
}

}  // namespace katman
