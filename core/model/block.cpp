#include "core/model/block.h"

#include <fmt/format.h>

namespace katman {

Residual Sublayer::forward_norm_after(const Residual& in, Tape& tape) const {
  const Tensor x = settle(context_, in);
  const Tensor branch = inner_.forward(x, tape);
  dropout_.forward(branch, tape.micro);
  Norm::Saved saved;
  const Tensor y = norm_.forward({x, branch}, saved);
  saved.push(tape);
  tape.push(x);
  return {y, {}};
}

Tensor Sublayer::backward_norm_after(const Tensor& dy, Tape& tape) const {
  const Tensor x = tape.pop();
  const auto saved = Norm::Saved::pop(tape);
  const Tensor dsum = norm_.backward(dy, saved, {});
  const Tensor dinner = inner_.backward(dropout_.backward(dsum, tape.micro), x, tape);
  const Tensor dx = context_.empty(dsum.shape());
  context_.backend.add(dsum, dinner, dx);
  return dx;
}

Residual Sublayer::forward(const Residual& in, Tape& tape) const {
  if (place_ == NormPlace::after) return forward_norm_after(in, tape);
  Norm::Saved saved;
  const Tensor normed = norm_.forward(in, saved);
  const Tensor branch = inner_.forward(normed, tape);
  dropout_.forward(branch, tape.micro);
  saved.push(tape);
  if (!recompute_) tape.push(normed);
  return {saved.in, branch};
}

Tensor Sublayer::backward(const Tensor& dy, Tape& tape) const {
  if (place_ == NormPlace::after) return backward_norm_after(dy, tape);
  Tensor normed = recompute_ ? Tensor() : tape.pop();
  const auto saved = Norm::Saved::pop(tape);
  if (recompute_) normed = norm_.again(saved);
  const Tensor dbranch = dropout_.backward(dy, tape.micro);
  return norm_.backward(inner_.backward(dbranch, normed, tape), saved, dy);
}

Block::Block(const ModelContext& context, Params& params, const GptConfig& config, int64_t index,
             int64_t cache_index, Recompute recompute)
    : context_(context),
      rerun_(recompute == Recompute::full),
      ln_1_(context, params, fmt::format("h.{}.ln_1", index), config),
      attention_(context, params, fmt::format("h.{}.attn", index), config, index, cache_index),
      ln_2_(context, params, fmt::format("h.{}.ln_2", index), config),
      mlp_(context, params, fmt::format("h.{}.mlp", index), config,
           recompute == Recompute::selective),
      first_(context, attention_, ln_1_, config.norm_place,
             {context, fmt::format("h.{}.attn", index), config.dropout},
             recompute == Recompute::selective),
      second_(context, mlp_, ln_2_, config.norm_place,
              {context, fmt::format("h.{}.mlp", index), config.dropout},
              recompute == Recompute::selective) {}

Residual Block::run(const Residual& in, Tape& tape) const {
  return second_.forward(first_.forward(in, tape), tape);
}

Tensor Block::run_back(const Tensor& dy, Tape& tape) const {
  return first_.backward(second_.backward(dy, tape), tape);
}

Residual Block::forward(const Residual& in, Tape& tape) {
  if (!rerun_ || !tape.recording()) return run(in, tape);
  const Tensor settled = settle(context_, in);
  tape.push(settled);
  Tape forgotten(tape.micro, false);
  return run({settled, {}}, forgotten);
}

Tensor Block::backward(const Tensor& dy, Tape& tape) {
  if (!rerun_) return run_back(dy, tape);
  const Tensor in = tape.pop();
  run({in, {}}, tape);
  return run_back(dy, tape);
}

}  // namespace katman
