#include "parallel/pipeline/stage.h"

#include <algorithm>

namespace katman {

ModelStage::ModelStage(const GptConfig& config, StageRange range, const ModelContext& context,
                       Params& params, Recompute recompute, Told told)
    : config_(config),
      range_(range),
      context_(context),
      told_(std::move(told)),
      layers_(config, range, context, params, recompute) {}

void ModelStage::begin(const Pass& pass) {
  pass_ = &pass;
  tapes_.clear();
  tapes_.resize(pass.micros.size());
  backward_passes_ = 0;
  counted_tokens_ = 0;
}

Tensor ModelStage::forward(int micro, const Tensor& x) {
  const MicroBatch& share = pass_->micros[static_cast<size_t>(micro)];
  auto& tape = tapes_[static_cast<size_t>(micro)];
  tape = std::make_unique<Tape>(Micro{.sequences = share.sequences,
                                      .length = config_.sequence,
                                      .first_sequence = share.first,
                                      .training = pass_->training,
                                      .document_start = {}},
                                pass_->training);
  const bool at_an_end = range_.embedding || range_.head;
  const Tokens tokens = at_an_end ? read_tokens(share) : Tokens();
  const Tensor y = layers_.forward(range_.embedding ? tokens.ids : x, *tape);
  if (range_.head) layers_.loss(y, tokens.targets, pass_->loss_sum, *tape);
  if (!pass_->training) tape.reset();
  return range_.head ? Tensor() : y;
}

Tensor ModelStage::backward(int micro, const Tensor& dy, bool postpone_weights) {
  tape(micro).defer(postpone_weights);
  const bool last = ++backward_passes_ == pass_->micros.size() && !postpone_weights;
  const Tensor dx =
      layers_.backward(dy, tape(micro), last ? told_.layer_done : std::function<void(int64_t)>());
  if (!postpone_weights) release_if_done(micro);
  return dx;
}

void ModelStage::backward_weight(int micro) {
  tape(micro).flush();
  release_if_done(micro);
}

void ModelStage::release_if_done(int micro) {
  require(tape(micro).empty(), "layers {} to {} left {} tensors on the tape of micro-batch {}",
          range_.first_layer, range_.last_layer, tape(micro).size(), micro);
  tapes_[static_cast<size_t>(micro)].reset();
}

Tensor ModelStage::empty_activation(int micro) {
  const int64_t rows = pass_->micros[static_cast<size_t>(micro)].sequences * config_.sequence;
  const int64_t parts = context_.sequence_parallel ? context_.tp.size() : 1;
  return context_.empty({rows / parts, config_.hidden});
}

ModelStage::Tokens ModelStage::read_tokens(const MicroBatch& micro) {
  const auto length = static_cast<size_t>(config_.sequence);
  std::vector<int32_t> window(length + 1), ids, targets;
  for (int64_t i = 0; i < micro.sequences; ++i) {
    pass_->samples(static_cast<uint64_t>(micro.first + i), window);
    ids.insert(ids.end(), window.begin(), window.end() - 1);
    targets.insert(targets.end(), window.begin() + 1, window.end());
  }
  counted_tokens_ += std::ranges::count_if(targets, [](int32_t target) { return target >= 0; });
  const auto upload = [&](const std::vector<int32_t>& host) {
    const Tensor device = context_.backend.empty({static_cast<int64_t>(host.size())}, DType::i32);
    context_.backend.upload(host.data(), device);
    return device;
  };
  return {range_.embedding ? upload(ids) : Tensor(), range_.head ? upload(targets) : Tensor()};
}

}  // namespace katman
