// Matrix products cut over tensor ranks (Shoeybi et al., 2019): a column-parallel one splits what
// comes out, a row-parallel one sums over what went in, so that a pair needs one exchange each way.
// Where ModelContext::lora says so, an adapter computes beside the matrix. With ModelContext::fp8
// the three products of each round activations and weights to E4M3, gradients of activations to
// E5M2 (Micikevicius et al., 2022), and give what they always give: bf16, or f32 sums for weights.
#pragma once

#include <optional>
#include <string>

#include "core/model/adapter.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// y = x W^T (+ b) with W [out, in] and b [out] cut along `out`. Enters a tensor-parallel region:
// x [rows (/ tp under sequence parallelism), in], y [rows, out / tp].
class ColumnParallel {
 public:
  ColumnParallel(const ModelContext& context, Params& params, const std::string& name, int64_t in,
                 int64_t out, Init init, bool biased);

  Tensor forward(const Tensor& x) const;
  // gelu(y); y itself is written to `before` [rows, out / tp], which the gradient needs.
  Tensor forward_gelu(const Tensor& x, const Tensor& before) const;
  // dy [rows, out / tp]. The sum of dx over ranks travels while the weight gradient is computed.
  Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape) const;

  int64_t columns() const { return weight_.mine.extent[0]; }  // out / tp

 private:
  const ModelContext& context_;
  const Param& weight_;
  const Param* bias_;  // nullptr: none
  std::optional<Adapter> adapter_;
};

// y = x W^T (+ b) with W [out, in] cut along `in`, b whole. Leaves a tensor-parallel region:
// x [rows, in / tp], y [rows (/ tp under sequence parallelism), out].
class RowParallel {
 public:
  RowParallel(const ModelContext& context, Params& params, const std::string& name, int64_t in,
              int64_t out, Init init, bool biased);

  Tensor forward(const Tensor& x) const;
  // With `before` (what forward_gelu wrote), goes on through the GELU that made x.
  Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape, const Tensor& before = {}) const;

 private:
  const ModelContext& context_;
  const Param& weight_;
  const Param* bias_;  // nullptr: none
  std::optional<Adapter> adapter_;
};

}  // namespace katman
