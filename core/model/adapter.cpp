#include "core/model/adapter.h"

#include <cmath>

namespace katman {
namespace {

// A matrix that shares axis `axis` with W, cut as W is there, and has `rank` as its other extent.
Param adapter_param(const std::string& name, const Param& weight, int axis, int64_t rank) {
  Param param;
  param.name = name;
  const auto i = static_cast<size_t>(axis);
  const bool is_b = axis == 0;
  param.global = is_b ? Shape{weight.global[0], rank} : Shape{rank, weight.global[1]};
  param.mine = Box::whole(param.global);
  param.mine.begin[i] = weight.mine.begin[i];
  param.mine.extent[i] = weight.mine.extent[i];
  return param;
}

Param adapter_a(const std::string& name, const Param& weight, int cut_axis, int64_t rank) {
  Param a = adapter_param(name + ".lora_a", weight, 1, rank);
  a.replicated = cut_axis == 0;
  a.init.deviation = 1 / std::sqrt(static_cast<float>(weight.global[1]));
  return a;
}

Param adapter_b(const std::string& name, const Param& weight, int cut_axis, int64_t rank) {
  Param b = adapter_param(name + ".lora_b", weight, 0, rank);
  b.replicated = cut_axis == 1;
  b.init.kind = Init::Kind::zero;
  return b;
}

}  // namespace

Adapter::Adapter(const ModelContext& context, Params& params, const std::string& name,
                 const Param& weight, int axis)
    : context_(context),
      axis_(axis),
      a_(params.declare(adapter_a(name, weight, axis, context.lora.rank))),
      b_(params.declare(adapter_b(name, weight, axis, context.lora.rank))) {}

// x W^T when transposed, x W otherwise.
Tensor Adapter::product(const Tensor& x, const Param& weight, bool transposed) const {
  Gemm g;
  g.a = x;
  g.b = weight.value;
  g.c = context_.empty({x.extent(0), weight.value.extent(transposed ? 0 : 1)});
  g.b_transposed = transposed;
  g.b_is_weight = true;
  context_.backend.gemm(g);
  return g.c;
}

void Adapter::forward(const Tensor& x, const Tensor& y) const {
  const Tensor u = product(x, a_, true);
  context_.backend.scale(u, context_.lora.scale());
  context_.backend.add(y, product(u, b_, true), y);
}

void Adapter::backward(const Tensor& dy, const Tensor& x, const Tensor& dx, Tape& tape) const {
  const Tensor du = product(dy, b_, false);
  context_.backend.scale(du, context_.lora.scale());
  context_.backend.add(dx, product(du, a_, false), dx);
  tape.later([this, dy, x, du] { weight_grads(dy, x, du); });
}

// Each factor's gradient is a product with the other's rows, which lack what other ranks hold where
// the other factor is cut: whole ones come from a sum. A whole factor's gradient is then the same
// on all ranks, and under sequence parallelism, where replicated gradients are summed, one adds it.
void Adapter::weight_grads(const Tensor& dy, const Tensor& x, const Tensor& du) const {
  const Tensor u = product(x, a_, true);
  context_.backend.scale(u, context_.lora.scale());
  context_.tp.all_reduce(axis_ == 0 ? du : u).wait();
  const bool adds_whole = !context_.sequence_parallel || context_.tp.rank() == 0;
  if (axis_ == 1 || adds_whole) add_grad(du, x, a_);
  if (axis_ == 0 || adds_whole) add_grad(dy, u, b_);
}

// dW += dy^T x.
void Adapter::add_grad(const Tensor& dy, const Tensor& x, const Param& weight) const {
  Gemm g;
  g.a = dy;
  g.b = x;
  g.c = weight.grad;
  g.a_transposed = g.accumulate = true;
  context_.backend.gemm(g);
}

}  // namespace katman
