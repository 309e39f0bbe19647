// The feed-forward half of a block, cut over tensor ranks.
#pragma once

#include <string>

#include "core/model/config.h"
#include "core/model/linear.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// y = W_down gelu(W_up x + b_up) + b_down, with the GELU fused into both products and into the
// gradient of the second. Remembers what goes into the GELU, and what comes out of it unless
// `recompute`.
class Mlp : public Module {
 public:
  Mlp(const ModelContext& context, Params& params, const std::string& name, const GptConfig& config,
      bool recompute);

  Tensor forward(const Tensor& x, Tape& tape) override;
  Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape) override;

 private:
  const ModelContext& context_;
  ColumnParallel up_;
  RowParallel down_;
  bool recompute_;
};

}  // namespace katman
