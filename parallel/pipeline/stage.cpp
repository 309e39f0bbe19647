#include "parallel/pipeline/stage.h"

#include <algorithm>

namespace katman {

Samples windows(std::function<void(uint64_t sample, std::span<int32_t> tokens)> fill) {
  return [fill = std::move(fill)](uint64_t sample, const Sequence& out) {
    std::vector<int32_t> tokens(out.ids.size() + 1);
    fill(sample, tokens);
    std::copy(tokens.begin(), tokens.end() - 1, out.ids.begin());
    std::copy(tokens.begin() + 1, tokens.end(), out.targets.begin());
  };
}

namespace {

// Positions begin again with every document.
std::vector<int32_t> places_in_documents(const std::vector<int32_t>& starts, size_t length) {
  std::vector<int32_t> places(starts.size());
  for (size_t row = 0; row < places.size(); ++row)
    places[row] = static_cast<int32_t>(row % length) - starts[row];
  return places;
}

}  // namespace

ModelStage::ModelStage(const GptConfig& config, StageRange range, const ModelContext& context,
                       Params& params, Recompute recompute, const Reading& reading, Told told)
    : config_(config),
      range_(range),
      context_(context),
      reading_(reading),
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
  const bool reads = range_.embedding || range_.head || reading_.documents;
  const Rows rows = reads ? read_rows(share) : Rows();
  tape = std::make_unique<Tape>(Micro{.sequences = share.sequences,
                                      .length = reading_.length,
                                      .first_sequence = share.first,
                                      .training = pass_->training,
                                      .document_start = rows.document_start,
                                      .places = rows.places},
                                pass_->training);
  const Tensor y = layers_.forward(range_.embedding ? rows.ids : x, *tape);
  if (range_.head) layers_.loss(y, rows.targets, pass_->loss_sum, *tape);
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
  const int64_t rows = pass_->micros[static_cast<size_t>(micro)].sequences * reading_.length;
  const int64_t parts = context_.sequence_parallel ? context_.tp.size() : 1;
  return context_.empty({rows / parts, config_.hidden});
}

ModelStage::Rows ModelStage::read_rows(const MicroBatch& micro) {
  const auto length = static_cast<size_t>(reading_.length);
  const size_t all = static_cast<size_t>(micro.sequences) * length;
  std::vector<int32_t> ids(all), targets(all), starts(reading_.documents ? all : 0);
  for (int64_t i = 0; i < micro.sequences; ++i) {
    const auto mine = [&](std::vector<int32_t>& rows) {
      return std::span(rows).subspan(rows.empty() ? 0 : static_cast<size_t>(i) * length,
                                     rows.empty() ? 0 : length);
    };
    pass_->samples(static_cast<uint64_t>(micro.first + i),
                   {mine(ids), mine(targets), mine(starts)});
  }
  counted_tokens_ += std::ranges::count_if(targets, [](int32_t target) { return target >= 0; });
  const auto upload = [&](const std::vector<int32_t>& host) {
    const Tensor device = context_.backend.empty({static_cast<int64_t>(host.size())}, DType::i32);
    context_.backend.upload(host.data(), device);
    return device;
  };
  return {range_.embedding ? upload(ids) : Tensor(), range_.head ? upload(targets) : Tensor(),
          reading_.documents ? upload(starts) : Tensor(),
          reading_.documents ? upload(places_in_documents(starts, length)) : Tensor()};
}

}  // namespace katman
