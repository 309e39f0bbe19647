#include "core/model/embedding.h"

#include "core/model/rows.h"

namespace katman {
namespace {

// Without weight decay, as in the published code of Radford et al., 2019.
Param positions_param(const GptConfig& config) {
  Param param;
  param.name = "wpe.weight";
  param.global = {config.sequence, config.hidden};
  param.mine = Box::whole(param.global);
  param.init.deviation = config.position_deviation;
  param.decay = false;
  param.replicated = true;
  return param;
}

}  // namespace

Box vocabulary_box(const GptConfig& config, const Comm& tp) {
  const int64_t begin = config.vocabulary * tp.rank() / tp.size();
  const int64_t end = config.vocabulary * (tp.rank() + 1) / tp.size();
  return {{begin, 0}, {end - begin, config.hidden}};
}

int64_t vocabulary_storage(const GptConfig& config, const Comm& tp) {
  const int64_t most = (config.vocabulary + tp.size() - 1) / tp.size();
  return (most + 63) / 64 * 64;
}

Param vocabulary_param(const GptConfig& config, const Comm& tp, const std::string& name,
                       bool tied) {
  Param param;
  param.name = name;
  param.global = {config.vocabulary, config.hidden};
  param.mine = vocabulary_box(config, tp);
  param.spare_rows = vocabulary_storage(config, tp) - param.mine.extent[0];
  param.init = config.weight_init();
  param.tied = tied;
  return param;
}

Embedding::Embedding(const ModelContext& context, Params& params, const GptConfig& config,
                     Param& table)
    : context_(context),
      table_(table),
      positions_(config.positions == Positions::learned ? &params.declare(positions_param(config))
                                                        : nullptr),
      dropout_(context, "embedding", config.dropout) {}

void Embedding::add_placed(const Tensor& places, const Tensor& y) const {
  const Tensor vectors = context_.empty(y.shape());
  context_.backend.embed(places, positions_->value, 0, {}, places.elements(), 0, vectors);
  context_.backend.add(y, vectors, y);
}

Tensor Embedding::forward(const Tensor& ids, Tape& tape) {
  const Micro& micro = tape.micro;
  const bool adds_positions = positions_ && context_.tp.rank() == 0;  // once in the sum over ranks
  const Tensor partial = context_.empty({ids.elements(), table_.value.extent(1)});
  context_.backend.embed(ids, table_.value, table_.mine.begin[0],
                         adds_positions && !micro.places ? positions_->value : Tensor(),
                         micro.length, micro.past(0), partial);
  if (adds_positions && micro.places) add_placed(micro.places, partial);
  const Tensor y = reduce_rows(context_, partial).arrived();
  dropout_.forward(y, micro);
  return y;
}

Tensor Embedding::backward(const Tensor& dy, const Tensor& ids, Tape& tape) {
  if (table_.frozen) return {};  // and so are positions
  const Tensor d = gather_rows(context_, dropout_.backward(dy, tape.micro)).arrived();
  // All ranks see all rows here. A replicated gradient is summed over ranks exactly when the
  // sequence is split: then one rank adds it, otherwise each does.
  const bool adds_positions =
      positions_ && (!context_.sequence_parallel || context_.tp.rank() == 0);
  tape.later(
      [this, d, ids, adds_positions, length = tape.micro.length, places = tape.micro.places] {
        Backend& backend = context_.backend;
        backend.embed_grad(d, ids, table_.mine.begin[0], length, 0, table_.grad,
                           adds_positions && !places ? positions_->grad : Tensor());
        if (adds_positions && places)
          backend.embed_grad(d, places, 0, length, 0, positions_->grad, {});
      });
  return {};
}

}  // namespace katman
