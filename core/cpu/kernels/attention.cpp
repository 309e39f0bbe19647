// Attention in blocks of 64 keys by 64 queries whose scores never leave the first caches (Dao et
// al., 2022; Dao, 2023). Scores are kept transposed, [key][query]: what softmax does to a query is
// then done to sixteen queries at a time without a step across lanes, and probabilities are written
// as they are wanted next: row-major as the left operand of dV and dK, in pairs of keys as the
// right operand of the output and of dQ.
#include "core/cpu/kernels/blocks.h"
#include "core/cpu/kernels/families.h"

namespace katman::KATMAN_ISA {
namespace {

constexpr int64_t block = 64;
constexpr int64_t block_vectors = block / lanes;
constexpr float hidden = -1e30f;  // a score that takes no part; finite, so that differences are too

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

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
struct Unit {
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

  // --- forward

  struct Forward {
    A* keys;                           // [length][d_k]
    A* values_t;                       // [d][padded]
    B* query_t;                        // [d_k / step][padded]
    float *scores, *counts, *factors;  // [block][block]
    B* probabilities;                  // [block / step][block]
    float* result;                     // [d][block]
    float *most, *total;               // [block]
    int64_t bytes;

    Forward(const Unit& u, void* scratch) {
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

  void forward(In qkv, Out out, float* lse, void* scratch) const {
    Forward f(*this, scratch);
    const T* rows = static_cast<const T*>(qkv) + row_begin * job.qkv_columns;
    pack_a<Dot>(rows + k_column(), job.qkv_columns, length, d, f.keys, d_k);
    for (int64_t j = length * d_k; j < padded * d_k; ++j) f.keys[j] = 0;
    pack_a_transposed<Dot>(rows + v_column(), job.qkv_columns, length, d, f.values_t, padded);
    for (int64_t within = 0; within < job.queries_per_group; ++within) {
      pack_b_transposed<Dot>(rows + q_column(within), job.qkv_columns, length, d, f.query_t,
                             padded);
      for (int64_t i0 = 0; i0 < length; i0 += block) {
        attend(f, within, i0);
        T* to = static_cast<T*>(out) + row_begin * heads * d + head(within) * d;
        float* lse_to = lse + head(within) * tokens + row_begin;
        finish(f, i0, to, lse_to);
      }
    }
  }

  void attend(Forward& f, int64_t within, int64_t i0) const {
    for (int64_t v = 0; v < block_vectors; ++v) {
      F32::store(f.most + v * lanes, splat(hidden));
      F32::store(f.total + v * lanes, V{});
    }
    std::memset(f.result, 0, static_cast<size_t>(d * block) * sizeof(float));
    const int64_t end = smaller(i0 + block, length);
    for (int64_t j0 = first_key_of_block(i0) / block * block; j0 < end; j0 += block) {
      multiply<Dot>(block, block, d_k, f.keys + j0 * d_k, d_k, f.query_t + i0, padded, f.scores,
                    block, false);
      const float* counts = mask(j0, i0, f.counts) ? f.counts : nullptr;
      const float* factors = keep_factors(within, j0, i0, f.factors);
      for (int64_t v = 0; v < block_vectors; ++v) soften(f, v * lanes, counts, factors);
      multiply<Dot>(d, block, block, f.values_t + j0, padded, f.probabilities, block, f.result,
                    block, true);
    }
  }

  // The online softmax of sixteen queries over the keys of a block (Milakov and Gimelshein, 2018).
  void soften(Forward& f, int64_t at, const float* counts, const float* factors) const {
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
      write_pair(p, f.probabilities + j / Dot::step * block + at);
    }
    F32::store(f.most + at, most);
    F32::store(f.total + at, total);
    for (int64_t c = 0; c < d; ++c) {
      float* line = f.result + c * block + at;
      F32::store(line, F32::load(line) * shrink);
    }
  }

  static void write_pair(const V* p, B* to) {
    if constexpr (Dot::step == 2) {
      const VU bits = (rounded_bits(p[0]) >> 16) | (rounded_bits(p[1]) & 0xffff0000u);
      std::memcpy(to, &bits, sizeof bits);
    } else {
      F32::store(to, p[0]);
    }
  }

  void finish(const Forward& f, int64_t i0, T* out, float* lse) const {
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

  // --- backward

  // What one head's queries look like to the products. [within group]
  struct Queries {
    B *q_t, *dout_t;  // [d_k / step][padded]
    B *q, *dout;      // [padded / step][d_n]
    float* mean;      // [padded]: dout . out, which is the sum over keys of P * dP
    float* lse;       // [padded]
    float* dq_t;      // [d][padded]
  };

  struct Backward {
    A *keys, *values;                            // [padded][d_k]
    A* keys_t;                                   // [d][padded]
    float *scores, *dscores, *counts, *factors;  // [block][block]
    A *p, *ds;                                   // [block][block]
    B* ds_pairs;                                 // [block / step][block]
    float *dk, *dv;                              // [block][d_n]
    Scratch rest;
    int64_t bytes_per_head;

    Backward(const Unit& u, void* scratch) : rest{static_cast<char*>(scratch)} {
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
    Queries queries(const Unit& u, int64_t within) {
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

  void backward(In dout, In qkv, In out, const float* lse, Out dqkv, void* scratch) const {
    Backward b(*this, scratch);
    const T* rows = static_cast<const T*>(qkv) + row_begin * job.qkv_columns;
    const int64_t stride = job.qkv_columns;
    pack_a<Dot>(rows + k_column(), stride, length, d, b.keys, d_k);
    pack_a<Dot>(rows + v_column(), stride, length, d, b.values, d_k);
    for (int64_t j = length * d_k; j < padded * d_k; ++j) b.keys[j] = b.values[j] = 0;
    pack_a_transposed<Dot>(rows + k_column(), stride, length, d, b.keys_t, padded);
    const T* dout_rows = static_cast<const T*>(dout) + row_begin * heads * d;
    const T* out_rows = static_cast<const T*>(out) + row_begin * heads * d;
    for (int64_t within = 0; within < job.queries_per_group; ++within)
      prepare(b.queries(*this, within), rows + q_column(within), dout_rows + head(within) * d,
              out_rows + head(within) * d, lse + head(within) * tokens + row_begin);
    T* drows = static_cast<T*>(dqkv) + row_begin * stride;
    for (int64_t j0 = 0; j0 < length; j0 += block) {
      keys_of_block(b, j0);
      const int64_t count = smaller(block, length - j0);
      write_rows(b.dk, d_n, count, drows + j0 * stride + k_column());
      write_rows(b.dv, d_n, count, drows + j0 * stride + v_column());
    }
    for (int64_t within = 0; within < job.queries_per_group; ++within)
      write_transposed(b.queries(*this, within).dq_t, drows + q_column(within));
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
  void keys_of_block(Backward& b, int64_t j0) const {
    std::memset(b.dk, 0, static_cast<size_t>(block * d_n) * sizeof(float));
    std::memset(b.dv, 0, static_cast<size_t>(block * d_n) * sizeof(float));
    for (int64_t within = 0; within < job.queries_per_group; ++within) {
      const Queries q = b.queries(*this, within);
      for (int64_t i0 = j0; i0 < length; i0 += block) {
        if (first_key_of_block(i0) >= j0 + block) continue;
        multiply<Dot>(block, block, d_k, b.keys + j0 * d_k, d_k, q.q_t + i0, padded, b.scores,
                      block, false);
        multiply<Dot>(block, block, d_k, b.values + j0 * d_k, d_k, q.dout_t + i0, padded, b.dscores,
                      block, false);
        const float* counts = mask(j0, i0, b.counts) ? b.counts : nullptr;
        const float* factors = keep_factors(within, j0, i0, b.factors);
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
  void differentiate(Backward& b, const Queries& q, int64_t i0, int64_t at, const float* counts,
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
      write_pair(ds, b.ds_pairs + j / Dot::step * block + at);
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
void attention(const AttentionJob& job, In qkv, Out out, float* lse, int64_t sequence,
               int64_t group, void* scratch) {
  const Unit<Dot, E> unit{job, sequence, group};
  unit.forward(qkv, out, lse, scratch);
}

template <class Dot, class E>
void attention_grad(const AttentionJob& job, In dout, In qkv, In out, const float* lse, Out dqkv,
                    int64_t sequence, int64_t group, void* scratch) {
  const Unit<Dot, E> unit{job, sequence, group};
  unit.backward(dout, qkv, out, lse, dqkv, scratch);
}

// f32 needs the most of all types.
int64_t attention_scratch_bytes(const AttentionJob& job) {
  const Unit<DotF32, F32> unit{job, 0, 0};
  const typename Unit<DotF32, F32>::Forward forward(unit, nullptr);
  typename Unit<DotF32, F32>::Backward backward(unit, nullptr);
  backward.queries(unit, job.queries_per_group - 1);
  const int64_t needed = reinterpret_cast<intptr_t>(backward.rest.at) +
                         job.queries_per_group * backward.bytes_per_head;
  return needed > forward.bytes ? needed : forward.bytes;
}

template <class E>
void attend_one(In q, In keys, In values, int64_t stride, int64_t first, int64_t last, int64_t d,
                float scale, float* scores, Out out) {
  using T = typename E::type;
  const T *query = static_cast<const T*>(q), *k = static_cast<const T*>(keys),
          *v = static_cast<const T*>(values);
  float most = hidden;
  for (int64_t j = first; j <= last; ++j) {
    V product = {};
    for (int64_t c = 0; c < d; c += lanes)
      product += load<E>(query + c, d - c) * load<E>(k + j * stride + c, d - c);
    scores[j] = sum_of(product) * scale;
    most = scores[j] > most ? scores[j] : most;
  }
  float total = 0;
  for (int64_t j = first; j <= last; j += lanes) {
    const int64_t left = last + 1 - j;
    const V p = exp(load<F32>(scores + j, left) - most) * first_lanes(left);
    store<F32>(scores + j, p, left);
    total += sum_of(p);
  }
  for (int64_t c = 0; c < d; c += lanes) {
    V sum = {};
    for (int64_t j = first; j <= last; ++j) sum += scores[j] * load<E>(v + j * stride + c, d - c);
    store<E>(static_cast<T*>(out) + c, sum / total, d - c);
  }
}

}  // namespace

void add_attention(CpuKernels& table) {
  table.typed[0].attention = attention<DotF32, F32>;
  table.typed[0].attention_grad = attention_grad<DotF32, F32>;
#ifdef __AVX512BF16__
  table.typed[1].attention = attention<DotB16, B16>;
  table.typed[1].attention_grad = attention_grad<DotB16, B16>;
#else
  table.typed[1].attention = attention<DotF32, B16>;
  table.typed[1].attention_grad = attention_grad<DotF32, B16>;
#endif
  table.typed[0].attend_one = attend_one<F32>;
  table.typed[1].attend_one = attend_one<B16>;
  table.attention_scratch_bytes = attention_scratch_bytes;
}

}  // namespace katman::KATMAN_ISA
