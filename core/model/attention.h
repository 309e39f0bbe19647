// Causal self-attention of many heads (Vaswani et al., 2017), heads cut over tensor ranks.
#pragma once

#include <string>

#include "core/model/config.h"
#include "core/model/linear.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// x [rows, hidden] -> qkv, rotated where positions are -> attention per head -> projection [rows,
// hidden]. The rows of the qkv weight are [groups][q heads of the group, k, v][head_dim], so that a
// tensor rank's groups are one box. Remembers qkv, the heads' output and one number per head and
// row; scores are never stored, the gradient computes them again block by block.
class Attention : public Module {
 public:
  // layer: of the whole model, which says whether it is banded; cache_index: which of Micro::caches
  // is mine when generating.
  Attention(const ModelContext& context, Params& params, const std::string& name,
            const GptConfig& config, int64_t layer, int64_t cache_index);

  Tensor forward(const Tensor& x, Tape& tape) override;
  Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape) override;

 private:
  AttentionShape shape(const Micro& micro) const;
  void attend_cached(const Tensor& qkv, const AttentionShape& all, const Micro& micro,
                     const Tensor& out) const;

  const ModelContext& context_;
  ColumnParallel qkv_;
  RowParallel proj_;
  int64_t groups_, queries_per_group_, head_dim_;  // of the whole model
  int64_t window_;
  Tensor frequencies_;  // f32 [head_dim / 2], when positions are rotary
  float dropout_;
  Key dropout_key_;
  size_t cache_index_;
};

}  // namespace katman
