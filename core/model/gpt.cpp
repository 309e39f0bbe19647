#include "core/model/gpt.h"

#include <deque>
#include <optional>

#include "core/model/block.h"
#include "core/model/embedding.h"
#include "core/model/norm.h"

namespace katman {
namespace {

// The token table this stage shares or owns; found rather than declared when another stage of this
// rank has it already.
Param& token_table(const GptConfig& config, const StageRange& range, const ModelContext& context,
                   Params& params) {
  if (Param* held = params.find("wte.weight")) return *held;
  const bool shared = config.tied_embedding && !(range.embedding && range.head);
  return params.declare(vocabulary_param(config, context.tp, "wte.weight", shared));
}

Param& head_table(const GptConfig& config, const StageRange& range, const ModelContext& context,
                  Params& params) {
  if (config.tied_embedding) return token_table(config, range, context, params);
  return params.declare(vocabulary_param(config, context.tp, "head.weight", false));
}

}  // namespace

struct GptStage::Parts {
  GptConfig config;
  StageRange range;
  ModelContext context;
  std::optional<Embedding> embedding;
  std::deque<Block> blocks;
  std::optional<Norm> norm;
  std::optional<Head> head;

  Parts(const GptConfig& c, StageRange r, const ModelContext& outside)
      : config(c), range(r), context(outside) {}

  void check_input(const Tensor& x, const Micro& micro) const {
    const int64_t rows = micro.sequences * micro.length;
    const int64_t mine = context.sequence_parallel ? rows / context.tp.size() : rows;
    require(micro.length >= 1 && micro.longest_past() + micro.length <= config.sequence,
            "a sequence of {} tokens does not fit into the model's {} positions",
            micro.longest_past() + micro.length, config.sequence);
    if (range.embedding)
      require(x.elements() == rows, "{} ids were given for {} rows", x.elements(), rows);
    else
      require(x.shape() == Shape({mine, config.hidden}),
              "a stage was given an activation {} instead of [{}, {}]", to_string(x.shape()), mine,
              config.hidden);
  }
};

GptStage::GptStage(const GptConfig& config, StageRange range, const ModelContext& context,
                   Params& params, Recompute recompute)
    : parts_(std::make_unique<Parts>(config, range, context)) {
  config.check(context.tp.size());
  Parts& p = *parts_;
  if (range.embedding)
    p.embedding.emplace(p.context, params, config, token_table(config, range, context, params));
  for (int64_t layer = range.first_layer; layer < range.last_layer; ++layer)
    p.blocks.emplace_back(p.context, params, config, layer, layer - range.first_layer, recompute);
  if (range.head) {
    if (config.norm_place == NormPlace::before) p.norm.emplace(p.context, params, "ln_f", config);
    p.head.emplace(p.context, head_table(config, range, context, params));
  }
}

GptStage::~GptStage() = default;

void GptStage::set_sequence_parallel(bool yes) { parts_->context.sequence_parallel = yes; }

Tensor GptStage::forward(const Tensor& x, Tape& tape) {
  Parts& p = *parts_;
  p.check_input(x, tape.micro);
  Residual stream{x, {}};
  if (p.embedding) {
    stream.x = p.embedding->forward(x, tape);
    tape.push(x);
  }
  for (Block& block : p.blocks) stream = block.forward(stream, tape);
  if (!p.norm) return settle(p.context, stream);
  Norm::Saved saved;
  const Tensor h = p.norm->forward(stream, saved);
  saved.push(tape);
  return h;
}

Tensor GptStage::loss(const Tensor& h, const Tensor& targets, const Tensor& loss_sum, Tape& tape,
                      float weight) {
  require(parts_->head.has_value(), "a loss was asked of a stage without the head");
  Tensor dh;
  if (weight != 0) {
    dh = parts_->head->loss(h, targets, loss_sum, tape.recording(), weight);
  } else if (tape.recording()) {
    dh = parts_->context.empty(h.shape());
    parts_->context.backend.fill_zero(dh);
  }
  tape.push(dh);
  return dh;
}

Tensor GptStage::backward(const Tensor& dy, Tape& tape,
                          const std::function<void(int64_t layer)>& layer_done) {
  Parts& p = *parts_;
  Tensor d = dy;
  if (p.head) d = tape.pop();
  if (p.norm) {
    const auto saved = Norm::Saved::pop(tape);
    d = p.norm->backward(d, saved, {});
  }
  for (int64_t layer = p.range.last_layer; layer-- > p.range.first_layer;) {
    d = p.blocks[static_cast<size_t>(layer - p.range.first_layer)].backward(d, tape);
    if (layer_done) layer_done(layer);
  }
  if (!p.embedding) return d;
  const Tensor ids = tape.pop();
  return p.embedding->backward(d, ids, tape);
}

std::vector<TokenScore> GptStage::scores(const Tensor& h, const Tensor& targets) {
  require(parts_->head.has_value(), "scores were asked of a stage without the head");
  return parts_->head->scores(h, targets);
}

Tensor GptStage::logits(const Tensor& h) {
  require(parts_->head.has_value(), "logits were asked of a stage without the head");
  return parts_->head->logits(h);
}

std::vector<KvCache> GptStage::make_caches(int64_t sequences, int64_t capacity) const {
  const Parts& p = *parts_;
  const Shape shape = {sequences, capacity, p.config.groups() / p.context.tp.size(),
                       p.config.head_dim()};
  std::vector<KvCache> caches;
  for (size_t layer = 0; layer < p.blocks.size(); ++layer)
    caches.push_back({p.context.empty(shape), p.context.empty(shape)});
  return caches;
}

}  // namespace katman
