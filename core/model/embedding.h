// Tokens become vectors: the first thing of the first stage.
#pragma once

#include "core/model/config.h"
#include "core/model/dropout.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// My rows of the token table [vocabulary, hidden]: rank r of n holds tokens
// [V r / n, V (r + 1) / n), whatever V is; behind them as many spare rows as give every rank the
// same storage, a multiple of 64.
Box vocabulary_box(const GptConfig& config, const Comm& tp);
int64_t vocabulary_storage(const GptConfig& config, const Comm& tp);
// The Param `name` [vocabulary, hidden] cut this way; `tied`: see Param.
Param vocabulary_param(const GptConfig& config, const Comm& tp, const std::string& name, bool tied);

// y = dropout(wte[id] + wpe[position]) (positions that are not rotary), ids i32 [rows], y [rows (/
// tp under sequence parallelism), hidden]. The vocabulary is cut over tensor ranks (Shoeybi et al.,
// 2019): a rank gives 0 for tokens that are not its own, and the sum over ranks is the embedding.
class Embedding : public Module {
 public:
  Embedding(const ModelContext& context, Params& params, const GptConfig& config, Param& table);

  Tensor forward(const Tensor& ids, Tape& tape) override;
  // Returns nothing: ids have no gradient.
  Tensor backward(const Tensor& dy, const Tensor& ids, Tape& tape) override;

 private:
  // y += positions looked up by `places` i32 [rows].
  void add_placed(const Tensor& places, const Tensor& y) const;

  const ModelContext& context_;
  const Param& table_;
  const Param* positions_;  // nullptr: rotary, see Attention
  Dropout dropout_;
};

}  // namespace katman
