// A decoder layer: two sublayers, attention and feed-forward, around the residual stream.
#pragma once

#include <string>

#include "core/model/attention.h"
#include "core/model/config.h"
#include "core/model/dropout.h"
#include "core/model/mlp.h"
#include "core/model/norm.h"

namespace katman {

// stream -> stream + dropout(inner(norm(stream))), or with the norm behind: stream -> norm(stream +
// dropout(inner(stream))). Owns the norm and the dropout, not the inner module. With `recompute`
// the output of a norm before is computed again for the backward pass; that of a norm behind is the
// stream itself and remembered.
class Sublayer {
 public:
  Sublayer(const ModelContext& context, Module& inner, Norm norm, NormPlace place, Dropout dropout,
           bool recompute)
      : context_(context),
        inner_(inner),
        norm_(norm),
        place_(place),
        dropout_(dropout),
        recompute_(recompute) {}

  Residual forward(const Residual& in, Tape& tape) const;
  // dy: the gradient of the stream that leaves; returns that of the stream that entered.
  Tensor backward(const Tensor& dy, Tape& tape) const;

 private:
  Residual forward_norm_after(const Residual& in, Tape& tape) const;
  Tensor backward_norm_after(const Tensor& dy, Tape& tape) const;

  const ModelContext& context_;
  Module& inner_;
  Norm norm_;
  NormPlace place_;
  Dropout dropout_;
  bool recompute_;
};

// Layer `index` of the model (its name is h.<index>). Recompute, of what a layer needs for its
// backward pass, per row of T tokens in units of hidden values (no dropout, feed_forward = 4
// hidden): none keeps 16 (2 sums, 2 norms, qkv 3, attention 1, GELU 4 + 4), selective keeps 10 and
// computes norms and the GELU again, full keeps 1 and runs the whole layer forward again.
class Block {
 public:
  Block(const ModelContext& context, Params& params, const GptConfig& config, int64_t index,
        int64_t cache_index, Recompute recompute);

  Residual forward(const Residual& in, Tape& tape);
  Tensor backward(const Tensor& dy, Tape& tape);

 private:
  Residual run(const Residual& in, Tape& tape) const;
  Tensor run_back(const Tensor& dy, Tape& tape) const;

  const ModelContext& context_;
  bool rerun_;  // Recompute::full
  Norm ln_1_;
  Attention attention_;
  Norm ln_2_;
  Mlp mlp_;
  Sublayer first_, second_;
};

}  // namespace katman
