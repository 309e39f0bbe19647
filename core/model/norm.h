// Layer normalisation (Ba et al., 2016), or by the root of the mean square alone (Zhang and
// Sennrich, 2019), fused with the addition that precedes it.
#pragma once

#include <string>

#include "core/model/config.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// The residual stream between two sublayers: x + branch, not added yet because the norm that
// follows does it in the same pass. An empty branch stands for 0.
struct Residual {
  Tensor x, branch;  // [rows, hidden]
};
// x + branch.
Tensor settle(const ModelContext& context, const Residual& in);

class Norm {
 public:
  Norm(const ModelContext& context, Params& params, const std::string& name,
       const GptConfig& config);

  // What backward needs besides dy. `in` is the stream that was normalised, settled.
  struct Saved {
    Tensor in, mean, rstd;  // [rows, hidden], f32 [rows] (layer norms), f32 [rows]
    void push(Tape& tape) const;
    static Saved pop(Tape& tape);
  };
  // y [rows, hidden].
  Tensor forward(const Residual& in, Saved& saved) const;
  // The same y, bit for bit, from what was saved.
  Tensor again(const Saved& saved) const;
  // The gradient of the stream: through the norm, plus `past`, the gradient that went past it
  // (may be empty).
  Tensor backward(const Tensor& dy, const Saved& saved, const Tensor& past) const;

 private:
  // `sum` and `mean` as for Backend::layernorm.
  void run(const Residual& in, const Tensor& sum, const Tensor& y, const Saved& saved) const;

  const ModelContext& context_;
  const Param& weight_;
  const Param* bias_;  // nullptr: the root mean square's norm, which has none
  float epsilon_;
};

}  // namespace katman
