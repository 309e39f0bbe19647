#include "core/model/linear.h"

#include "core/model/rows.h"

namespace katman {
namespace {

Param& declare_weight(Params& params, const std::string& name, Shape global, Box mine, Init init) {
  Param weight;
  weight.name = name + ".weight";
  weight.global = global;
  weight.mine = std::move(mine);
  weight.init = init;
  return params.declare(std::move(weight));
}

const Param* declare_bias(Params& params, const std::string& name, int64_t out, Box mine,
                          bool replicated) {
  Param bias;
  bias.name = name + ".bias";
  bias.global = {out};
  bias.mine = std::move(mine);
  bias.init.kind = Init::Kind::zero;
  bias.decay = false;
  bias.replicated = replicated;
  return &params.declare(std::move(bias));
}

void round_operands(const ModelContext& context, Fp8 a, Gemm& g) {
  if (!context.fp8) return;
  g.a_fp8 = a;
  g.b_fp8 = Fp8::e4m3;
}

// x W^T [rows, W's rows], to be given its epilogue.
Gemm product(const ModelContext& context, const Tensor& x, const Param& weight) {
  Gemm g;
  g.a = x;
  g.b = weight.value;
  g.c = context.empty({x.extent(0), weight.value.extent(0)});
  g.b_transposed = g.b_is_weight = true;
  round_operands(context, Fp8::e4m3, g);
  return g;
}

// dy W [rows, W's columns].
Gemm input_grad(const ModelContext& context, const Tensor& dy, const Param& weight) {
  Gemm g;
  g.a = dy;
  g.b = weight.value;
  g.c = context.empty({dy.extent(0), weight.value.extent(1)});
  g.b_is_weight = true;
  round_operands(context, Fp8::e5m2, g);
  return g;
}

// dW += dy^T x, and the bias's gradient, if there is one, += the sums over the rows of its own dy.
void add_grads(const ModelContext& context, const Tensor& dy, const Tensor& x, const Param& weight,
               const Tensor& bias_dy, const Param* bias) {
  const bool biased = bias && !bias->frozen;
  const bool at_once = biased && !weight.frozen && bias_dy.raw() == dy.raw();
  if (biased && !at_once) context.backend.bias_grad(bias_dy, bias->grad);
  if (weight.frozen) return;
  Gemm g;
  g.a = dy;
  g.b = x;
  g.c = weight.grad;
  g.a_transposed = g.accumulate = true;
  if (at_once) g.bias_grad = bias->grad;
  round_operands(context, Fp8::e5m2, g);
  context.backend.gemm(g);
}

}  // namespace

ColumnParallel::ColumnParallel(const ModelContext& context, Params& params, const std::string& name,
                               int64_t in, int64_t out, Init init, bool biased)
    : context_(context),
      weight_(declare_weight(params, name, {out, in},
                             cut(Box::whole({out, in}), 0, context.tp.rank(), context.tp.size()),
                             init)),
      bias_(biased ? declare_bias(params, name, out,
                                  cut(Box::whole({out}), 0, context.tp.rank(), context.tp.size()),
                                  false)
                   : nullptr) {
  if (context.lora.adapts(name)) adapter_.emplace(context, params, name, weight_, 0);
}

Tensor ColumnParallel::forward(const Tensor& x) const {
  Gemm g = product(context_, gather_rows(context_, x).arrived(), weight_);
  if (bias_) {
    g.epilogue = Gemm::Epilogue::bias;
    g.bias = bias_->value;
  }
  context_.backend.gemm(g);
  if (adapter_) adapter_->forward(g.a, g.c);
  return g.c;
}

Tensor ColumnParallel::forward_gelu(const Tensor& x, const Tensor& before) const {
  if (adapter_) {
    const Tensor y = forward(x);
    context_.backend.copy(y, before);
    context_.backend.gelu(before, y);
    return y;
  }
  Gemm g = product(context_, gather_rows(context_, x).arrived(), weight_);
  const Tensor after = g.c;
  if (bias_) {
    g.epilogue = Gemm::Epilogue::bias_gelu;
    g.bias = bias_->value;
    g.aux = before;
    context_.backend.gemm(g);
  } else {
    g.c = before;
    context_.backend.gemm(g);
    context_.backend.gelu(before, after);
  }
  return after;
}

Tensor ColumnParallel::backward(const Tensor& dy, const Tensor& x, Tape& tape) const {
  Arriving all_x = gather_rows(context_, x);
  const Gemm g = input_grad(context_, dy, weight_);
  context_.backend.gemm(g);
  const Tensor x_rows = all_x.arrived();
  if (adapter_) adapter_->backward(dy, x_rows, g.c, tape);
  Arriving dx = reduce_rows(context_, g.c);
  tape.later([this, dy, x_rows] { add_grads(context_, dy, x_rows, weight_, dy, bias_); });
  return dx.arrived();
}

RowParallel::RowParallel(const ModelContext& context, Params& params, const std::string& name,
                         int64_t in, int64_t out, Init init, bool biased)
    : context_(context),
      weight_(declare_weight(params, name, {out, in},
                             cut(Box::whole({out, in}), 1, context.tp.rank(), context.tp.size()),
                             init)),
      bias_(biased ? declare_bias(params, name, out, Box::whole({out}), true) : nullptr) {
  if (context.lora.adapts(name)) adapter_.emplace(context, params, name, weight_, 1);
}

Tensor RowParallel::forward(const Tensor& x) const {
  Gemm g = product(context_, x, weight_);
  if (bias_ && context_.tp.rank() == 0) {  // the sum over ranks holds the bias once
    g.epilogue = Gemm::Epilogue::bias;
    g.bias = bias_->value;
  }
  context_.backend.gemm(g);
  if (adapter_) adapter_->forward(x, g.c);
  return reduce_rows(context_, g.c).arrived();
}

Tensor RowParallel::backward(const Tensor& dy, const Tensor& x, Tape& tape,
                             const Tensor& before) const {
  const Tensor dy_rows = gather_rows(context_, dy).arrived();
  Gemm g = input_grad(context_, dy_rows, weight_);
  if (before && !adapter_) {
    g.epilogue = Gemm::Epilogue::gelu_grad;
    g.aux = before;
  }
  context_.backend.gemm(g);
  if (adapter_) adapter_->backward(dy_rows, x, g.c, tape);
  if (before && adapter_) context_.backend.gelu_grad(g.c, before, g.c);
  tape.later([this, dy, dy_rows, x] {
    add_grads(context_, dy_rows, x, weight_, dy, bias_);  // of my rows: see Param::replicated
  });
  return g.c;
}

}  // namespace katman
