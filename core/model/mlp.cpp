#include "core/model/mlp.h"

namespace katman {

Mlp::Mlp(const ModelContext& context, Params& params, const std::string& name,
         const GptConfig& config, bool recompute)
    : context_(context),
      up_(context, params, name + ".up", config.hidden, config.up_rows(), config.weight_init(),
          config.biases),
      down_(context, params, name + ".down", config.ff(), config.hidden, config.residual_init(),
            config.biases),
      gate_block_(config.activation == Activation::swiglu ? config.gate_block() : 0),
      recompute_(recompute) {}

void Mlp::activate(const Tensor& before, const Tensor& after) const {
  if (gate_block_)
    context_.backend.swiglu(in_blocks(before, 2 * gate_block_), in_blocks(after, gate_block_));
  else
    context_.backend.gelu(before, after);
}

Tensor Mlp::forward(const Tensor& x, Tape& tape) {
  const int64_t rows = tape.micro.sequences * tape.micro.length;
  Tensor before, after;
  if (gate_block_) {
    before = up_.forward(x);
    after = context_.empty({rows, up_.columns() / 2});
    activate(before, after);
  } else {
    before = context_.empty({rows, up_.columns()});
    after = up_.forward_gelu(x, before);
  }
  tape.push(before);
  if (!recompute_) tape.push(after);
  return down_.forward(after);
}

Tensor Mlp::grad_before(const Tensor& dy, const Tensor& after, const Tensor& before,
                        Tape& tape) const {
  if (!gate_block_) return down_.backward(dy, after, tape, before);
  const Tensor dafter = down_.backward(dy, after, tape);
  const Tensor dbefore = context_.empty(before.shape());
  context_.backend.swiglu_grad(in_blocks(dafter, gate_block_), in_blocks(before, 2 * gate_block_),
                               in_blocks(dbefore, 2 * gate_block_));
  return dbefore;
}

Tensor Mlp::backward(const Tensor& dy, const Tensor& x, Tape& tape) {
  Tensor after = recompute_ ? Tensor() : tape.pop();
  const Tensor before = tape.pop();
  if (recompute_) {
    after = context_.empty({before.extent(0), before.extent(1) / (gate_block_ ? 2 : 1)});
    activate(before, after);
  }
  return up_.backward(grad_before(dy, after, before, tape), x, tape);
}

}  // namespace katman
