#include "core/model/task_head.h"

#include "core/model/rows.h"

namespace katman {
namespace {

constexpr float impossible = -1e30f;  // the logit of a choice that is not there

Param head_param(const std::string& name, Shape global, bool matrix) {
  Param param;
  param.name = name;
  param.global = global;
  param.mine = Box::whole(global);
  param.init.kind = matrix ? Init::Kind::normal : Init::Kind::zero;
  param.decay = matrix;
  param.replicated = true;
  return param;
}

Tensor upload(Backend& backend, const std::vector<int32_t>& host) {
  const Tensor device = backend.empty({static_cast<int64_t>(host.size())}, DType::i32);
  backend.upload(host.data(), device);
  return device;
}

}  // namespace

TaskHead::TaskHead(const ModelContext& context, Params& params, const TaskShape& shape,
                   int64_t hidden)
    : context_(context),
      shape_(shape),
      weight_(params.declare(
          head_param("task.weight", {shape.classes ? shape.classes : 1, hidden}, true))),
      bias_(shape.classes ? &params.declare(head_param("task.bias", {shape.classes}, false))
                          : nullptr) {}

Tensor TaskHead::looked_at(const Tensor& h, const Micro& micro, const TaskRows& rows) const {
  Backend& backend = context_.backend;
  const int64_t per_row = choices() ? 1 : shape_.sequences;
  const Tensor x = context_.empty({micro.sequences / per_row, h.extent(1)});
  backend.fill_zero(x);
  for (int64_t s = 0; s < micro.sequences; ++s) {
    const int32_t position = rows.extract[static_cast<size_t>(s)];
    if (position < 0) continue;
    const Tensor to = x.slice(s / per_row, 1);
    backend.add(to, h.slice(s * micro.length + position, 1), to);
  }
  return x;
}

void TaskHead::drop(const Tensor& x, const Micro& micro) const {
  if (shape_.dropout == 0 || !micro.training) return;
  const int64_t first = micro.first_sequence * x.extent(0) / micro.sequences;
  context_.backend.dropout(x, shape_.dropout, context_.seed.at("dropout").at("task"), first, 0,
                           x.extent(1));
}

Tensor TaskHead::logits(const Tensor& x, const TaskRows& rows) const {
  Backend& backend = context_.backend;
  Gemm g;
  g.a = x;
  g.b = weight_.value;
  g.c = backend.empty({x.extent(0), weight_.value.extent(0)}, DType::f32);
  g.b_transposed = g.b_is_weight = true;
  if (bias_) {
    g.epilogue = Gemm::Epilogue::bias;
    g.bias = bias_->value;
  }
  backend.gemm(g);
  if (!choices()) return g.c;
  std::vector<float> mask;
  for (const int32_t position : rows.extract) mask.push_back(position < 0 ? impossible : 0);
  const Tensor penalty = backend.empty(g.c.shape(), DType::f32);
  backend.upload(mask.data(), penalty);
  backend.add(g.c, penalty, g.c);
  return g.c.view({x.extent(0) / shape_.sequences, shape_.sequences});
}

// Adds the losses; with `grad`, logits become their gradient.
void TaskHead::finish(const Tensor& logits, const TaskRows& rows, bool grad,
                      const Tensor& loss_sum) const {
  Backend& backend = context_.backend;
  const int64_t examples = logits.extent(0), outputs = logits.extent(1);
  const Tensor labels = upload(backend, rows.labels);
  const Tensor stats = backend.empty({1, examples, 3}, DType::f32);
  const Tensor loss = backend.empty({examples}, DType::f32);
  backend.xent_stats(logits, labels, 0, outputs, stats.view({examples, 3}));
  backend.xent_finish(logits, labels, 0, outputs, stats, grad, loss);
  backend.sum(loss, loss_sum);
}

// dlogits f32 [rows of x, rows of W].
Tensor TaskHead::backward(const Tensor& dlogits, const Tensor& x) const {
  Backend& backend = context_.backend;
  Tensor dy = dlogits;
  if (context_.activation != DType::f32) {
    dy = context_.empty(dlogits.shape());
    backend.cast(dlogits, dy);
  }
  // A replicated gradient is summed over tensor ranks exactly when the sequence is split.
  if (!context_.sequence_parallel || context_.tp.rank() == 0) {
    Gemm weight;
    weight.a = dy;
    weight.b = x;
    weight.c = weight_.grad;
    weight.a_transposed = weight.accumulate = true;
    if (bias_) weight.bias_grad = bias_->grad;
    backend.gemm(weight);
  }
  Gemm input;
  input.a = dy;
  input.b = weight_.value;
  input.c = context_.empty(x.shape());
  input.b_is_weight = true;
  backend.gemm(input);
  return input.c;
}

void TaskHead::spread(const Tensor& dx, const Micro& micro, const TaskRows& rows,
                      const Tensor& dh) const {
  const int64_t per_row = choices() ? 1 : shape_.sequences;
  const int64_t mine = dh.extent(0);
  const int64_t begin = context_.sequence_parallel ? context_.tp.rank() * mine : 0;
  for (int64_t s = 0; s < micro.sequences; ++s) {
    const int32_t position = rows.extract[static_cast<size_t>(s)];
    const int64_t row = s * micro.length + position - begin;
    if (position < 0 || row < 0 || row >= mine) continue;
    const Tensor to = dh.slice(row, 1);
    context_.backend.add(to, dx.slice(s / per_row, 1), to);
  }
}

void TaskHead::loss(const Tensor& h, const Micro& micro, const TaskRows& rows,
                    const Tensor& loss_sum, const Tensor& scores, const Tensor& dh) const {
  const Tensor h_rows = gather_rows(context_, h).arrived();
  const Tensor x = looked_at(h_rows, micro, rows);
  drop(x, micro);
  const Tensor y = logits(x, rows);
  if (scores) context_.backend.copy(y, scores);
  finish(y, rows, static_cast<bool>(dh), loss_sum);
  if (!dh) return;
  const Tensor dx = backward(y.view({x.extent(0), weight_.value.extent(0)}), x);
  drop(dx, micro);
  spread(dx, micro, rows, dh);
}

}  // namespace katman
