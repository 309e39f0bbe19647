// Vectors become a loss, or logits: the last thing of the last stage.
#pragma once

#include <vector>

#include "core/model/config.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// What a model says about one token that it was shown.
struct TokenScore {
  float log_probability = 0;
  float margin = 0;  // its logit less the largest: 0 when no token is more likely
};

// logits = h table^T with the vocabulary cut over tensor ranks, and their cross-entropy, chunk of
// rows by chunk of rows: a chunk's logits become its gradient in place and are used up before the
// next chunk, so that they never exist whole. Ranks exchange three numbers per row (Shoeybi et al.,
// 2019): maximum, sum of exponentials, the target's logit.
class Head {
 public:
  // table: [vocabulary, hidden] cut as in core/model/embedding.h, the token embedding when tied.
  // chunk_bytes: how much memory the logits of one chunk may take on a rank.
  Head(const ModelContext& context, const Param& table, int64_t chunk_bytes = 128 << 20)
      : context_(context), table_(table), chunk_bytes_(chunk_bytes) {}

  // h [rows (/ tp), hidden]; targets i32 [rows], < 0: not counted. Adds the sum of -log p to
  // loss_sum f32 [1], the same on every tensor rank. With `grad` also adds to the table's gradient
  // and returns dh, shaped like h; otherwise returns nothing. Loss and gradients are multiplied by
  // `weight`.
  Tensor loss(const Tensor& h, const Tensor& targets, const Tensor& loss_sum, bool grad,
              float weight = 1) const;
  // Of each target i32 [rows], in f32, the same on every tensor rank. [row]
  std::vector<TokenScore> scores(const Tensor& h, const Tensor& targets) const;
  // f32 [rows, vocabulary], whole on every tensor rank. h [rows, hidden]: few rows, for generation.
  Tensor logits(const Tensor& h) const;

 private:
  int64_t chunks_of(int64_t rows, DType type) const;
  // f32 or activations [rows, stored vocabulary / tp].
  Tensor product(const Tensor& h, DType type) const;
  // f32 [tp, rows, 3] of Backend::xent_stats.
  Tensor all_stats(const Tensor& logits, const Tensor& targets) const;
  void row_losses(const Tensor& logits, const Tensor& targets, bool grad, const Tensor& loss) const;
  void add_table_grad(const Tensor& dlogits, const Tensor& h) const;

  const ModelContext& context_;
  const Param& table_;
  int64_t chunk_bytes_;
};

}  // namespace katman
