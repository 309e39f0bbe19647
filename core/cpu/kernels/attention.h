// Attention in blocks of 64 keys by 64 queries whose scores never leave the first caches (Dao et
// al., 2022; Dao, 2023). Scores are kept transposed, [key][query]: what softmax does to a query is
// then done to sixteen queries at a time without a step across lanes, and probabilities are written
// as they are wanted next: row-major as the left operand of dV and dK, in pairs of keys as the
// right operand of the output and of dQ. Here is what both directions share: where a head lies in
// memory, which scores count, and the scratch area.
#pragma once

#include "core/cpu/kernels/blocks.h"
#include "core/cpu/kernels/kernels.h"

namespace katman::KATMAN_ISA {

constexpr int64_t block = 64;
constexpr int64_t block_vectors = block / lanes;
constexpr float hidden = -1e30f;  // a score that takes no part; finite, so that differences are too

inline int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Hands out pieces of one scratch area, each on a cache line.
struct Scratch {
  char* at;
  template <class T>
  T* take(int64_t count) {
    T* taken = reinterpret_cast<T*>(at);
    at += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    return taken;
  }
};

// One sequence and group of a job.
template <class Dot, class E>
struct AttentionUnit {
  using T = typename E::type;
  using A = typename Dot::A;
  using B = typename Dot::B;

  const AttentionJob& job;
  int64_t sequence, group;
  int64_t length = job.length, padded = round_up(length, block);
  int64_t d = job.head_dim, d_k = round_up(d, Dot::step), d_n = round_up(d, lanes);
  int64_t row_begin = sequence * length;
  int64_t tokens = job.sequences * length;
  int64_t heads = job.groups * job.queries_per_group;

  int64_t group_column() const { return group * (job.queries_per_group + 2) * d; }
  int64_t q_column(int64_t within) const { return group_column() + within * d; }
  int64_t k_column() const { return group_column() + job.queries_per_group * d; }
  int64_t v_column() const { return k_column() + d; }
  int64_t head(int64_t within) const { return group * job.queries_per_group + within; }

  // The first position that position i may look at.
  int64_t first_key(int64_t i) const {
    int64_t first = job.window > 0 && i >= job.window ? i - job.window + 1 : 0;
    if (job.document_start) {
      const int64_t start = job.document_start[row_begin + i];
      first = start > first ? start : first;
    }
    return first;
  }
  // Of all queries of a block: first_key does not fall as i grows within a document, but documents
  // may be given in any order.
  int64_t first_key_of_block(int64_t i0) const {
    int64_t first = first_key(i0);
    for (int64_t i = i0 + 1; i < smaller(i0 + block, length); ++i)
      first = smaller(first, first_key(i));
    return first;
  }

  // Which scores of the block (j0, i0) count, as 1 or 0; false when all do.
  bool mask(int64_t j0, int64_t i0, float* counts) const {
    int64_t latest = 0;  // of first_key
    for (int64_t i = i0; i < smaller(i0 + block, length); ++i)
      latest = first_key(i) > latest ? first_key(i) : latest;
    if (j0 + block <= i0 + 1 && latest <= j0 && i0 + block <= length) return false;
    for (int64_t i = 0; i < block; ++i) {
      const int64_t query = i0 + i, first = query < length ? first_key(query) : 0;
      for (int64_t j = 0; j < block; ++j)
        counts[j * block + i] = query < length && j0 + j >= first && j0 + j <= query ? 1.0f : 0.0f;
    }
    return true;
  }

  const float* keep_factors(int64_t within, int64_t j0, int64_t i0, float* factors) const {
    if (!job.keep_context) return nullptr;
    job.keep(job.keep_context, sequence, head(within), j0, i0, factors);
    return factors;
  }

  // Neighbouring keys as one element of a right operand.
  static void write_pair(const V* p, B* to) {
    if constexpr (Dot::step == 2) {
      const VU bits = (rounded_bits(p[0]) >> 16) | (rounded_bits(p[1]) & 0xffff0000u);
      std::memcpy(to, &bits, sizeof bits);
    } else {
      F32::store(to, p[0]);
    }
  }
};

// The operands of products on bf16 tensors.
#ifdef __AVX512BF16__
using HalfDot = DotB16;
#else
using HalfDot = DotF32;
#endif

// What attention_grad needs to work in.
int64_t gradient_scratch_bytes(const AttentionJob& job);

}  // namespace katman::KATMAN_ISA
