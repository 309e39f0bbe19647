#include "core/model/norm.h"

namespace katman {
namespace {

Param& declare(Params& params, const std::string& name, int64_t hidden, Init::Kind kind) {
  Param param;
  param.name = name;
  param.global = {hidden};
  param.mine = Box::whole({hidden});
  param.init.kind = kind;
  param.decay = false;
  param.replicated = true;
  return params.declare(std::move(param));
}

}  // namespace

Tensor settle(const ModelContext& context, const Residual& in) {
  if (!in.branch) return in.x;
  const Tensor sum = context.empty(in.x.shape());
  context.backend.add(in.x, in.branch, sum);
  return sum;
}

Norm::Norm(const ModelContext& context, Params& params, const std::string& name,
           const GptConfig& config)
    : context_(context),
      weight_(declare(params, name + ".weight", config.hidden, Init::Kind::one)),
      bias_(config.norm == NormKind::layer
                ? &declare(params, name + ".bias", config.hidden, Init::Kind::zero)
                : nullptr),
      epsilon_(config.norm_epsilon) {}

void Norm::Saved::push(Tape& tape) const {
  tape.push(in);
  tape.push(mean);
  tape.push(rstd);
}

Norm::Saved Norm::Saved::pop(Tape& tape) {
  Saved saved;
  saved.rstd = tape.pop();
  saved.mean = tape.pop();
  saved.in = tape.pop();
  return saved;
}

void Norm::run(const Residual& in, const Tensor& sum, const Tensor& y, const Saved& saved) const {
  if (bias_)
    context_.backend.layernorm(in.x, in.branch, weight_.value, bias_->value, epsilon_, sum, y,
                               saved.mean, saved.rstd);
  else
    context_.backend.rmsnorm(in.x, in.branch, weight_.value, epsilon_, sum, y, saved.rstd);
}

Tensor Norm::forward(const Residual& in, Saved& saved) const {
  Backend& backend = context_.backend;
  const Tensor y = context_.empty(in.x.shape());
  saved.in = in.branch ? context_.empty(in.x.shape()) : in.x;
  saved.mean = bias_ ? backend.empty({in.x.extent(0)}, DType::f32) : Tensor();
  saved.rstd = backend.empty({in.x.extent(0)}, DType::f32);
  run(in, in.branch ? saved.in : Tensor(), y, saved);
  return y;
}

Tensor Norm::again(const Saved& saved) const {
  const Tensor y = context_.empty(saved.in.shape());
  run({saved.in, {}}, {}, y, saved);
  return y;
}

Tensor Norm::backward(const Tensor& dy, const Saved& saved, const Tensor& past) const {
  const Tensor dx = context_.empty(saved.in.shape());
  if (bias_)
    context_.backend.layernorm_grad(dy, saved.in, weight_.value, saved.mean, saved.rstd, past, dx,
                                    weight_.grad, bias_->grad);
  else
    context_.backend.rmsnorm_grad(dy, saved.in, weight_.value, saved.rstd, past, dx, weight_.grad);
  return dx;
}

}  // namespace katman
