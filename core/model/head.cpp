#include "core/model/head.h"

#include <algorithm>
#include <cmath>

#include "core/model/rows.h"

namespace katman {

Tensor Head::product(const Tensor& h, DType type) const {
  Gemm g;
  g.a = h;
  g.b = table_.padded_value;
  g.c = context_.backend.empty({h.extent(0), table_.padded_value.extent(0)}, type);
  g.b_transposed = g.b_is_weight = true;
  context_.backend.gemm(g);
  return g.c;
}

int64_t Head::chunks_of(int64_t rows, DType type) const {
  const int64_t row_bytes = table_.padded_value.extent(0) * bytes_of(type);
  return std::clamp<int64_t>(rows * row_bytes / chunk_bytes_ + 1, 1, rows);
}

Tensor Head::all_stats(const Tensor& logits, const Tensor& targets) const {
  const Comm& tp = context_.tp;
  const int64_t rows = logits.extent(0);
  const Tensor all = context_.backend.empty({tp.size(), rows, 3}, DType::f32);
  const Tensor stats = all.slice(tp.rank(), 1).view({rows, 3});
  context_.backend.xent_stats(logits, targets, table_.mine.begin[0], table_.mine.extent[0], stats);
  context_.tp.all_gather(stats, all).wait();
  return all;
}

void Head::row_losses(const Tensor& logits, const Tensor& targets, bool grad,
                      const Tensor& loss) const {
  context_.backend.xent_finish(logits, targets, table_.mine.begin[0], table_.mine.extent[0],
                               all_stats(logits, targets), grad, loss);
}

void Head::add_table_grad(const Tensor& dlogits, const Tensor& h) const {
  if (table_.frozen) return;
  Gemm g;
  g.a = dlogits;
  g.b = h;
  g.c = table_.padded_grad;
  g.a_transposed = g.accumulate = true;
  context_.backend.gemm(g);
}

Tensor Head::loss(const Tensor& h, const Tensor& targets, const Tensor& loss_sum, bool grad,
                  float weight) const {
  Backend& backend = context_.backend;
  const Tensor h_rows = gather_rows(context_, h).arrived();
  const int64_t rows = h_rows.extent(0);
  require(targets.elements() == rows, "{} targets were given for {} rows", targets.elements(),
          rows);
  const int64_t chunks = chunks_of(rows, context_.activation);
  const Tensor loss = backend.empty({rows}, DType::f32);
  const Tensor dh = grad ? context_.empty(h_rows.shape()) : Tensor();
  Tensor dh_mine;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = rows * chunk / chunks, count = rows * (chunk + 1) / chunks - first;
    const Tensor h_chunk = h_rows.slice(first, count);
    const Tensor logits = product(h_chunk, context_.activation);
    row_losses(logits, targets.flat().slice(first, count), grad, loss.slice(first, count));
    if (!grad) continue;
    if (weight != 1) backend.scale(logits, weight);
    Gemm g;
    g.a = logits;  // by now their gradient
    g.b = table_.padded_value;
    g.c = dh.slice(first, count);
    g.b_is_weight = true;
    backend.gemm(g);
    if (chunk + 1 < chunks) {
      add_table_grad(logits, h_chunk);
    } else {
      Arriving sum = reduce_rows(context_, dh);
      add_table_grad(logits, h_chunk);
      dh_mine = sum.arrived();
    }
  }
  if (weight != 1) backend.scale(loss, weight);
  backend.sum(loss, loss_sum);
  return dh_mine;
}

std::vector<TokenScore> Head::scores(const Tensor& h, const Tensor& targets) const {
  const int64_t rows = h.extent(0), ranks = context_.tp.size(),
                chunks = chunks_of(rows, DType::f32);
  std::vector<TokenScore> scores;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = rows * chunk / chunks, count = rows * (chunk + 1) / chunks - first;
    const Tensor logits = product(h.slice(first, count), DType::f32);
    const Tensor stats = all_stats(logits, targets.flat().slice(first, count));
    std::vector<float> host(static_cast<size_t>(stats.elements()));  // [tp, count, 3]
    context_.backend.download(stats, host.data());
    for (int64_t row = 0; row < count; ++row) {
      float maximum = -INFINITY, total = 0, target = 0;
      for (int64_t rank = 0; rank < ranks; ++rank)
        maximum = std::max(maximum, host[static_cast<size_t>(3 * (rank * count + row))]);
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const float* part = &host[static_cast<size_t>(3 * (rank * count + row))];
        total += part[1] * std::exp(part[0] - maximum);
        target += part[2];
      }
      scores.push_back({target - maximum - std::log(total), target - maximum});
    }
  }
  return scores;
}

Tensor Head::logits(const Tensor& h) const {
  const int64_t rows = h.extent(0), ranks = context_.tp.size();
  const int64_t vocabulary = table_.global[0], stored = table_.padded_value.extent(0);
  const Tensor mine = product(h, DType::f32);
  const Tensor all = context_.backend.empty({ranks * rows, stored}, DType::f32);
  context_.tp.all_gather(mine, all).wait();
  const Tensor whole = context_.backend.empty({rows, vocabulary}, DType::f32);
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const int64_t begin = vocabulary * rank / ranks, end = vocabulary * (rank + 1) / ranks;
    for (int64_t row = 0; row < rows; ++row)
      context_.backend.copy(all.slice(rank * rows + row, 1).flat().slice(0, end - begin),
                            whole.slice(row, 1).flat().slice(begin, end - begin));
  }
  return whole;
}

}  // namespace katman
