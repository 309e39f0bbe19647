#include "core/model/mlp.h"

namespace katman {

Mlp::Mlp(const ModelContext& context, Params& params, const std::string& name,
         const GptConfig& config, bool recompute)
    : context_(context),
      up_(context, params, name + ".up", config.hidden, config.ff(), config.weight_init()),
      down_(context, params, name + ".down", config.ff(), config.hidden, config.residual_init()),
      recompute_(recompute) {}

Tensor Mlp::forward(const Tensor& x, Tape& tape) {
  const Tensor before = context_.empty({tape.micro.sequences * tape.micro.length, up_.columns()});
  const Tensor after = up_.forward_gelu(x, before);
  tape.push(before);
  if (!recompute_) tape.push(after);
  return down_.forward(after);
}

Tensor Mlp::backward(const Tensor& dy, const Tensor& x, Tape& tape) {
  Tensor after = recompute_ ? Tensor() : tape.pop();
  const Tensor before = tape.pop();
  if (recompute_) {
    after = context_.empty(before.shape());
    context_.backend.gelu(before, after);
  }
  return up_.backward(down_.backward(dy, after, tape, before), x, tape);
}

}  // namespace katman
