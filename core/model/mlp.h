// The feed-forward half of a block, cut over tensor ranks.
#pragma once

#include <string>

#include "core/model/config.h"
#include "core/model/linear.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// y = W_down gelu(W_up x + b_up) + b_down, with the GELU fused into both products and into the
// gradient of the second; or y = W_down (silu(W_gate x) * W_up x) (Shazeer, 2020). The rows of
// W_gate and W_up are one matrix then, [ff / block][gate, up][block] with GptConfig::gate_block(),
// so that a tensor rank's rows are one box of it. Remembers what goes into the activation, and what
// comes out of it unless `recompute`.
class Mlp : public Module {
 public:
  Mlp(const ModelContext& context, Params& params, const std::string& name, const GptConfig& config,
      bool recompute);

  Tensor forward(const Tensor& x, Tape& tape) override;
  Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape) override;

 private:
  // after = activation(before).
  void activate(const Tensor& before, const Tensor& after) const;
  Tensor grad_before(const Tensor& dy, const Tensor& after, const Tensor& before, Tape& tape) const;
  // [rows, columns], seen as rows of one block each.
  Tensor in_blocks(const Tensor& t, int64_t columns) const {
    return t.view({t.elements() / columns, columns});
  }

  const ModelContext& context_;
  ColumnParallel up_;
  RowParallel down_;
  int64_t gate_block_;  // 0: GELU
  bool recompute_;
};

}  // namespace katman
