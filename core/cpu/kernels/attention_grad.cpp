// The gradient of attention: scores are computed again from what the forward pass left, block by
// block of keys, so that dK and dV of a block are complete when it is.
#include "core/cpu/kernels/attention.h"
#include "core/cpu/kernels/families.h"

namespace katman::KATMAN_ISA {
namespace {

template <class Dot, class E>
struct Backward : AttentionUnit<Dot, E> {
  using U = AttentionUnit<Dot, E>;
  using typename U::T, typename U::A, typename U::B;
  using U::job, U::length, U::padded, U::d, U::d_k, U::d_n, U::row_begin, U::tokens, U::heads;

  // What one head's queries look like to the products. [within group]
  struct Queries {
    B *q_t, *dout_t;  // [d_k / step][padded]
    B *q, *dout;      // [padded / step][d_n]
    float* mean;      // [padded]: dout . out, which is the sum over keys of P * dP
    float* lse;       // [padded]
    float* dq_t;      // [d][padded]
  };

  struct Space {
    A *keys, *values;                            // [padded][d_k]
    A* keys_t;                                   // [d][padded]
    float *scores, *dscores, *counts, *factors;  // [block][block]
    A *p, *ds;                                   // [block][block]
    B* ds_pairs;                                 // [block / step][block]
    float *dk, *dv;                              // [block][d_n]
    Scratch rest;
    int64_t bytes_per_head;

    Space(const U& u, void* scratch) : rest{static_cast<char*>(scratch)} {
      keys = rest.take<A>(u.padded * u.d_k);
      values = rest.take<A>(u.padded * u.d_k);
      keys_t = rest.take<A>(u.d * u.padded);
      scores = rest.take<float>(block * block);
      dscores = rest.take<float>(block * block);
      counts = rest.take<float>(block * block);
      factors = rest.take<float>(block * block);
      p = rest.take<A>(block * block);
      ds = rest.take<A>(block * block);
      ds_pairs = rest.take<B>(block / Dot::step * block);
      dk = rest.take<float>(block * u.d_n);
      dv = rest.take<float>(block * u.d_n);
    }
    // The same pieces for every head, one head after another.
    Queries queries(const U& u, int64_t within) {
      Scratch s = rest;
      Queries q;
      for (int64_t i = 0; i <= within; ++i) {
        q.q_t = s.take<B>(u.d_k / Dot::step * u.padded);
        q.dout_t = s.take<B>(u.d_k / Dot::step * u.padded);
        q.q = s.take<B>(u.padded / Dot::step * u.d_n);
        q.dout = s.take<B>(u.padded / Dot::step * u.d_n);
        q.mean = s.take<float>(u.padded);
        q.lse = s.take<float>(u.padded);
        q.dq_t = s.take<float>(u.d * u.padded);
      }
      bytes_per_head = (s.at - rest.at) / (within + 1);
      return q;
    }
  };

  void operator()(In dout, In qkv, In out, const float* lse, Out dqkv, void* scratch) const {
    Space b(*this, scratch);
    const T* rows = static_cast<const T*>(qkv) + row_begin * job.qkv_columns;
    const int64_t stride = job.qkv_columns;
    pack_a<Dot>(rows + this->k_column(), stride, length, d, b.keys, d_k);
    pack_a<Dot>(rows + this->v_column(), stride, length, d, b.values, d_k);
    for (int64_t j = length * d_k; j < padded * d_k; ++j) b.keys[j] = b.values[j] = 0;
    pack_a_transposed<Dot>(rows + this->k_column(), stride, length, d, b.keys_t, padded);
    const T* dout_rows = static_cast<const T*>(dout) + row_begin * heads * d;
    const T* out_rows = static_cast<const T*>(out) + row_begin * heads * d;
    for (int64_t within = 0; within < job.queries_per_group; ++within)
      prepare(b.queries(*this, within), rows + this->q_column(within),
              dout_rows + this->head(within) * d, out_rows + this->head(within) * d,
              lse + this->head(within) * tokens + row_begin);
    T* drows = static_cast<T*>(dqkv) + row_begin * stride;
    for (int64_t j0 = 0; j0 < length; j0 += block) {
      keys_of_block(b, j0);
      const int64_t count = smaller(block, length - j0);
      write_rows(b.dk, d_n, count, drows + j0 * stride + this->k_column());
      write_rows(b.dv, d_n, count, drows + j0 * stride + this->v_column());
    }
    for (int64_t within = 0; within < job.queries_per_group; ++within)
      write_transposed(b.queries(*this, within).dq_t, drows + this->q_column(within));
  }

  void prepare(const Queries& q, const T* q_rows, const T* dout, const T* out,
               const float* lse) const {
    const int64_t stride = heads * d;
    pack_b_transposed<Dot>(q_rows, job.qkv_columns, length, d, q.q_t, padded);
    pack_b_transposed<Dot>(dout, stride, length, d, q.dout_t, padded);
    pack_b<Dot>(q_rows, job.qkv_columns, length, d, q.q, padded, d_n);
    pack_b<Dot>(dout, stride, length, d, q.dout, padded, d_n);
    std::memset(q.dq_t, 0, static_cast<size_t>(d * padded) * sizeof(float));
    for (int64_t i = 0; i < padded; ++i) {
      V product = {};
      for (int64_t c = 0; c < d && i < length; c += lanes)
        product += load<E>(dout + i * stride + c, d - c) * load<E>(out + i * stride + c, d - c);
      q.mean[i] = sum_of(product);
      q.lse[i] = i < length ? lse[i] : 0;
    }
  }

  // dK and dV of the keys from j0 on, and their part of every dQ.
  void keys_of_block(Space& b, int64_t j0) const {
    std::memset(b.dk, 0, static_cast<size_t>(block * d_n) * sizeof(float));
    std::memset(b.dv, 0, static_cast<size_t>(block * d_n) * sizeof(float));
    for (int64_t within = 0; within < job.queries_per_group; ++within) {
      const Queries q = b.queries(*this, within);
      for (int64_t i0 = j0; i0 < length; i0 += block) {
        if (this->first_key_of_block(i0) >= j0 + block) continue;
        multiply<Dot>(block, block, d_k, b.keys + j0 * d_k, d_k, q.q_t + i0, padded, b.scores,
                      block, false);
        multiply<Dot>(block, block, d_k, b.values + j0 * d_k, d_k, q.dout_t + i0, padded, b.dscores,
                      block, false);
        const float* counts = this->mask(j0, i0, b.counts) ? b.counts : nullptr;
        const float* factors = this->keep_factors(within, j0, i0, b.factors);
        for (int64_t v = 0; v < block_vectors; ++v)
          differentiate(b, q, i0, v * lanes, counts, factors);
        multiply<Dot>(block, d_n, block, b.p, block, q.dout + i0 / Dot::step * d_n, d_n, b.dv, d_n,
                      true);
        multiply<Dot>(block, d_n, block, b.ds, block, q.q + i0 / Dot::step * d_n, d_n, b.dk, d_n,
                      true);
        multiply<Dot>(d, block, block, b.keys_t + j0, padded, b.ds_pairs, block, q.dq_t + i0,
                      padded, true);
      }
    }
  }

  // The softmax's gradient for sixteen queries: dS = P * (dP - sum over keys of P dP).
  void differentiate(Space& b, const Queries& q, int64_t i0, int64_t at, const float* counts,
                     const float* factors) const {
    const V lse = F32::load(q.lse + i0 + at), mean = F32::load(q.mean + i0 + at);
    for (int64_t j = 0; j < block; j += Dot::step) {
      V p[Dot::step], ds[Dot::step];
      for (int64_t pair = 0; pair < Dot::step; ++pair) {
        const int64_t element = (j + pair) * block + at;
        p[pair] = exp(F32::load(b.scores + element) * job.scale - lse);
        if (counts) {
          const V zero = {};
          p[pair] = F32::load(counts + element) > 0.0f ? p[pair] : zero;
        }
        V dp = F32::load(b.dscores + element);
        if (factors) dp *= F32::load(factors + element);
        ds[pair] = p[pair] * (dp - mean) * job.scale;
        if (factors) p[pair] *= F32::load(factors + element);
        write_a(p[pair], b.p + element);
        write_a(ds[pair], b.ds + element);
      }
      U::write_pair(ds, b.ds_pairs + j / Dot::step * block + at);
    }
  }

  static void write_a(V v, A* to) {
    if constexpr (Dot::step == 2)
      B16::store(to, v);
    else
      F32::store(to, v);
  }

  void write_rows(const float* from, int64_t stride, int64_t rows, T* to) const {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < d; c += lanes)
        store<E>(to + r * job.qkv_columns + c, F32::load(from + r * stride + c), d - c);
  }

  void write_transposed(const float* from, T* to) const {
    float line[lanes];
    for (int64_t i = 0; i < length; ++i)
      for (int64_t c = 0; c < d; c += lanes) {
        const int64_t some = smaller(lanes, d - c);
        for (int64_t lane = 0; lane < some; ++lane) line[lane] = from[(c + lane) * padded + i];
        store<E>(to + i * job.qkv_columns + c, F32::load(line), some);
      }
  }
};

template <class Dot, class E>
void attention_grad(const AttentionJob& job, In dout, In qkv, In out, const float* lse, Out dqkv,
                    int64_t sequence, int64_t group, void* scratch) {
  const Backward<Dot, E> backward{{job, sequence, group}};
  backward(dout, qkv, out, lse, dqkv, scratch);
}

}  // namespace

int64_t gradient_scratch_bytes(const AttentionJob& job) {
  using B = Backward<DotF32, F32>;
  const B backward{{job, 0, 0}};
  typename B::Space space(backward, nullptr);
  space.queries(backward, job.queries_per_group - 1);
  return reinterpret_cast<intptr_t>(space.rest.at) + job.queries_per_group * space.bytes_per_head;
}

void add_attention_grad(CpuKernels& table) {
  table.typed[0].attention_grad = attention_grad<DotF32, F32>;
  table.typed[1].attention_grad = attention_grad<HalfDot, B16>;
}

}  // namespace katman::KATMAN_ISA
