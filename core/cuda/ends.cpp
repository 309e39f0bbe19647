// The two ends of the model and the optimizer.
#include <cmath>

#include "core/check.h"
#include "core/cuda/cuda.h"
#include "core/cuda/kernels/embedding.h"
#include "core/cuda/kernels/loss.h"
#include "core/cuda/kernels/optimizer.h"
#include "core/cuda/with_type.h"

namespace katman {

void CudaBackend::embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin,
                        const Tensor& positions, int64_t length, int64_t first_position,
                        const Tensor& y) {
  const auto [rows, width] = check_embed(ids, table, positions, length, first_position, y);
  const kernels::Tokens tokens{ids.data<int32_t>(), rows, vocab_begin, table.extent(0)};
  with_type(y, [&, columns = width]<class T>(T* out) {
    kernels::embed<T>(stream_, tokens, table.data<T>(), data_or_none<T>(positions),
                      {first_position, length}, out, columns);
  });
}

void CudaBackend::embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin,
                             int64_t length, int64_t first_position, const Tensor& dtable,
                             const Tensor& dpositions) {
  const auto [rows, width] = check_embed(ids, dtable, dpositions, length, first_position, dy);
  const kernels::Tokens tokens{ids.data<int32_t>(), rows, vocab_begin, dtable.extent(0)};
  const Tensor scratch = empty({kernels::sorted_keys(rows) * 8}, DType::u8);
  auto* keys = reinterpret_cast<uint64_t*>(scratch.raw());
  kernels::sort_tokens(stream_, tokens, keys);
  with_type(dy, [&, count = rows, columns = width](const auto* data) {
    kernels::embed_grad(stream_, data, keys, count, dtable.data<float>(), columns);
    if (dpositions)
      kernels::positions_grad(stream_, data, count, {first_position, length},
                              dpositions.data<float>(), columns);
  });
}

namespace {

template <class T>
kernels::Logits<T> logits_of(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                             int64_t valid_columns) {
  return {logits.data<T>(), targets.data<int32_t>(),
          logits.extent(0), logits.extent(1),
          vocab_begin,      valid_columns};
}

}  // namespace

void CudaBackend::xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                             int64_t valid_columns, const Tensor& stats) {
  check_xent(logits, targets, valid_columns, stats, 1);
  with_type(logits, [&]<class T>(T*) {
    kernels::xent_stats(stream_, logits_of<T>(logits, targets, vocab_begin, valid_columns),
                        stats.data<float>());
  });
}

void CudaBackend::xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                              int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                              const Tensor& loss) {
  const int64_t parts = logits.extent(0) ? all_stats.elements() / (3 * logits.extent(0)) : 1;
  check_xent(logits, targets, valid_columns, all_stats, parts);
  with_type(logits, [&]<class T>(T*) {
    kernels::xent_finish(stream_, logits_of<T>(logits, targets, vocab_begin, valid_columns),
                         all_stats.data<float>(), parts, write_grad, loss.data<float>());
  });
}

void CudaBackend::sum_squares(const Tensor& x, const Tensor& out) {
  const Tensor scratch = empty({kernels::sum_blocks(x.elements()) * 8}, DType::u8);
  kernels::sum_squares(stream_, x.data<float>(), x.elements(),
                       reinterpret_cast<double*>(scratch.raw()), out.data<float>());
}

void CudaBackend::sum(const Tensor& x, const Tensor& out) {
  const Tensor scratch = empty({kernels::sum_blocks(x.elements()) * 8}, DType::u8);
  kernels::sum(stream_, x.data<float>(), x.elements(), reinterpret_cast<double*>(scratch.raw()),
               out.data<float>());
}

void CudaBackend::adamw(const AdamW& s) {
  check_adamw(s);
  const auto unbias = [&](float beta) {
    return static_cast<float>(
        1 / (1 - std::pow(static_cast<double>(beta), static_cast<double>(s.step))));
  };
  const kernels::AdamWStep step{s.master.data<float>(),
                                s.m.data<float>(),
                                s.v.data<float>(),
                                s.grad.data<float>(),
                                s.rate,
                                s.beta1,
                                s.beta2,
                                s.epsilon,
                                s.decay,
                                s.grad_scale,
                                unbias(s.beta1),
                                unbias(s.beta2)};
  with_type(s.value,
            [&](auto* value) { kernels::adamw(stream_, step, value, s.value.elements()); });
}

}  // namespace katman
