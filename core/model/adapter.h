// The trained part of a frozen matrix: see lora.h.
#pragma once

#include <string>

#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// The adapter of W [out, in], cut as W is. Where W is cut along `out`, so is B, and A is whole on
// every tensor rank; along `in`, A is cut and B whole. Then products with the whole one need a sum
// over ranks, of rank columns: a few numbers per row.
class Adapter {
 public:
  // weight: W. axis: along which it is cut, 0 (out) or 1 (in). `name` is that of the linear.
  Adapter(const ModelContext& context, Params& params, const std::string& name, const Param& weight,
          int axis);

  // y += scale (x A^T) B^T, my share of it as W's product is. x [rows, in (/ tp)], y [rows, out (/
  // tp)].
  void forward(const Tensor& x, const Tensor& y) const;
  // dx += scale (dy B) A, my share of it; the gradients of A and B when the tape says so.
  void backward(const Tensor& dy, const Tensor& x, const Tensor& dx, Tape& tape) const;

 private:
  Tensor product(const Tensor& x, const Param& weight, bool transposed) const;
  void add_grad(const Tensor& dy, const Tensor& x, const Param& weight) const;
  void weight_grads(const Tensor& dy, const Tensor& x, const Tensor& du) const;

  const ModelContext& context_;
  int axis_;
  const Param &a_, &b_;  // [rank, in], [out, rank]
};

}  // namespace katman
