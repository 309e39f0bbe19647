#include "core/cpu/kernels/attention.h"

#include "core/cpu/kernels/families.h"

namespace katman::KATMAN_ISA {
namespace {

template <class Dot, class E>
struct Forward : AttentionUnit<Dot, E> {
  using U = AttentionUnit<Dot, E>;
  using typename U::T, typename U::A, typename U::B;
  using U::job, U::length, U::padded, U::d, U::d_k, U::row_begin, U::tokens, U::heads;

  struct Space {
    A* keys;                           // [length][d_k]
    A* values_t;                       // [d][padded]
    B* query_t;                        // [d_k / step][padded]
    float *scores, *counts, *factors;  // [block][block]
    B* probabilities;                  // [block / step][block]
    float* result;                     // [d][block]
    float *most, *total;               // [block]
    int64_t bytes;

    Space(const U& u, void* scratch) {
      Scratch s{static_cast<char*>(scratch)};
      keys = s.take<A>(u.padded * u.d_k);
      values_t = s.take<A>(u.d * u.padded);
      query_t = s.take<B>(u.d_k / Dot::step * u.padded);
      scores = s.take<float>(block * block);
      counts = s.take<float>(block * block);
      factors = s.take<float>(block * block);
      probabilities = s.take<B>(block / Dot::step * block);
      result = s.take<float>(u.d * block);
      most = s.take<float>(block);
      total = s.take<float>(block);
      bytes = s.at - static_cast<char*>(scratch);
    }
  };

  void operator()(In qkv, Out out, float* lse, void* scratch) const {
    Space f(*this, scratch);
    const T* rows = static_cast<const T*>(qkv) + row_begin * job.qkv_columns;
    pack_a<Dot>(rows + this->k_column(), job.qkv_columns, length, d, f.keys, d_k);
    for (int64_t j = length * d_k; j < padded * d_k; ++j) f.keys[j] = 0;
    pack_a_transposed<Dot>(rows + this->v_column(), job.qkv_columns, length, d, f.values_t, padded);
    for (int64_t within = 0; within < job.queries_per_group; ++within) {
      pack_b_transposed<Dot>(rows + this->q_column(within), job.qkv_columns, length, d, f.query_t,
                             padded);
      for (int64_t i0 = 0; i0 < length; i0 += block) {
        attend(f, within, i0);
        T* to = static_cast<T*>(out) + row_begin * heads * d + this->head(within) * d;
        float* lse_to = lse + this->head(within) * tokens + row_begin;
        finish(f, i0, to, lse_to);
      }
    }
  }

  void attend(Space& f, int64_t within, int64_t i0) const {
    for (int64_t v = 0; v < block_vectors; ++v) {
      F32::store(f.most + v * lanes, splat(hidden));
      F32::store(f.total + v * lanes, V{});
    }
    std::memset(f.result, 0, static_cast<size_t>(d * block) * sizeof(float));
    const int64_t end = smaller(i0 + block, length);
    for (int64_t j0 = this->first_key_of_block(i0) / block * block; j0 < end; j0 += block) {
      multiply<Dot>(block, block, d_k, f.keys + j0 * d_k, d_k, f.query_t + i0, padded, f.scores,
                    block, false);
      const float* counts = this->mask(j0, i0, f.counts) ? f.counts : nullptr;
      const float* factors = this->keep_factors(within, j0, i0, f.factors);
      for (int64_t v = 0; v < block_vectors; ++v) soften(f, v * lanes, counts, factors);
      multiply<Dot>(d, block, block, f.values_t + j0, padded, f.probabilities, block, f.result,
                    block, true);
    }
  }

  // The online softmax of sixteen queries over the keys of a block (Milakov and Gimelshein, 2018).
  void soften(Space& f, int64_t at, const float* counts, const float* factors) const {
    const V before = F32::load(f.most + at), none = splat(hidden);
    V most = before;
    for (int64_t j = 0; j < block; ++j) {
      V s = F32::load(f.scores + j * block + at) * job.scale;
      if (counts) s = F32::load(counts + j * block + at) > 0.0f ? s : none;
      F32::store(f.scores + j * block + at, s);
      most = maximum(s, most);
    }
    const V shrink = exp(before - most);
    V total = F32::load(f.total + at) * shrink;
    for (int64_t j = 0; j < block; j += Dot::step) {
      V p[Dot::step];
      for (int64_t pair = 0; pair < Dot::step; ++pair) {
        const int64_t element = (j + pair) * block + at;
        p[pair] = exp(F32::load(f.scores + element) - most);
        if (counts) p[pair] *= F32::load(counts + element);
        total += p[pair];
        if (factors) p[pair] *= F32::load(factors + element);
      }
      U::write_pair(p, f.probabilities + j / Dot::step * block + at);
    }
    F32::store(f.most + at, most);
    F32::store(f.total + at, total);
    for (int64_t c = 0; c < d; ++c) {
      float* line = f.result + c * block + at;
      F32::store(line, F32::load(line) * shrink);
    }
  }

  void finish(const Space& f, int64_t i0, T* out, float* lse) const {
    const int64_t count = smaller(block, length - i0);
    float line[lanes];
    for (int64_t i = 0; i < count; ++i) {
      const float share = 1 / f.total[i];
      lse[i0 + i] = f.most[i] + __builtin_logf(f.total[i]);
      T* to = out + (i0 + i) * heads * d;
      for (int64_t c = 0; c < d; c += lanes) {
        const int64_t some = smaller(lanes, d - c);
        for (int64_t lane = 0; lane < some; ++lane) line[lane] = f.result[(c + lane) * block + i];
        store<E>(to + c, F32::load(line) * share, some);
      }
    }
  }
};

template <class Dot, class E>
void attention(const AttentionJob& job, In qkv, Out out, float* lse, int64_t sequence,
               int64_t group, void* scratch) {
  const Forward<Dot, E> forward{{job, sequence, group}};
  forward(qkv, out, lse, scratch);
}

// f32 needs the most of all types.
int64_t attention_scratch_bytes(const AttentionJob& job) {
  using F = Forward<DotF32, F32>;
  const int64_t forward = typename F::Space(F{{job, 0, 0}}, nullptr).bytes;
  const int64_t backward = gradient_scratch_bytes(job);
  return forward > backward ? forward : backward;
}

}  // namespace

void add_attention(CpuKernels& table) {
  table.typed[0].attention = attention<DotF32, F32>;
  table.typed[1].attention = attention<HalfDot, B16>;
  table.attention_scratch_bytes = attention_scratch_bytes;
}

}  // namespace katman::KATMAN_ISA
