// One query over the keys and values of a cache: the attention of generation. Every key and every
// value is read once, ahead of its use, so that a long past costs the time of reading it.
#include "core/cpu/kernels/attention.h"
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/row_dot.h"

namespace katman::KATMAN_ISA {
namespace {

constexpr int64_t ahead = 8;  // rows

template <class T>
inline void fetch(const T* row, int64_t elements) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t c = 0; c < elements; c += line) __builtin_prefetch(row + c);
}

// Rows [first, last] of one head, d elements each.
template <class T>
struct Rows {
  const T* data;
  int64_t stride, first, last, d;
};

// The query's products with the keys, scaled; returns the largest.
template <class Dot, class T>
float score(const T* query, const Rows<T>& keys, float scale, float* scores) {
  const int64_t d = keys.d;
  float most = hidden;
  for (int64_t j = keys.first; j <= keys.last; ++j) {
    const T* key = keys.data + j * keys.stride;
    fetch(key + ahead * keys.stride, d);
    V product = {};
    int64_t c = 0;
    for (; c + Dot::step <= d; c += Dot::step)
      product = Dot::add(product, Dot::read(query + c), Dot::read(key + c));
    if (c < d)
      product = Dot::add(product, read_rest<Dot>(query + c, d - c), read_rest<Dot>(key + c, d - c));
    scores[j] = sum_of(product) * scale;
    most = scores[j] > most ? scores[j] : most;
  }
  return most;
}

// Scores become e^(score - most); returns their sum.
float soften(float* scores, int64_t first, int64_t last, float most) {
  V total = {};
  for (int64_t j = first; j <= last; j += lanes) {
    const int64_t left = last + 1 - j;
    const V p = exp(load<F32>(scores + j, left) - most) * first_lanes(left);
    store<F32>(scores + j, p, left);
    total += p;
  }
  return sum_of(total);
}

// Columns [c, c + 16 Vectors) of the weighted sum of rows; of the last vector, `some` columns.
template <int Vectors, class E, class T>
void mix(const float* weights, const Rows<T>& rows, int64_t c, int64_t some, float share, T* out) {
  V sums[Vectors] = {};
  for (int64_t j = rows.first; j <= rows.last; ++j) {
    const T* row = rows.data + j * rows.stride + c;
    fetch(row + ahead * rows.stride, Vectors * lanes);
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i)
      sums[i] += weights[j] * load<E>(row + i * lanes, i + 1 < Vectors ? lanes : some);
  }
  for (int i = 0; i < Vectors; ++i)
    store<E>(out + c + i * lanes, sums[i] * share, i + 1 < Vectors ? lanes : some);
}

template <class E, class Dot>
void attend_one(In q, In keys, In values, int64_t stride, int64_t first, int64_t last, int64_t d,
                float scale, float* scores, Out out) {
  using T = typename E::type;
  const Rows<T> k = {static_cast<const T*>(keys), stride, first, last, d};
  const Rows<T> v = {static_cast<const T*>(values), stride, first, last, d};
  T* to = static_cast<T*>(out);
  const float most = score<Dot>(static_cast<const T*>(q), k, scale, scores);
  const float share = 1 / soften(scores, first, last, most);
  int64_t c = 0;
  for (; c + 4 * lanes <= d; c += 4 * lanes) mix<4, E>(scores, v, c, lanes, share, to);
  for (; c < d; c += lanes) mix<1, E>(scores, v, c, smaller(lanes, d - c), share, to);
}

}  // namespace

void add_attention_cached(CpuKernels& table) {
  table.typed[0].attend_one = attend_one<F32, WideDot<F32>>;
  table.typed[1].attend_one = attend_one<B16, HalfRowDot>;
}

}  // namespace katman::KATMAN_ISA
