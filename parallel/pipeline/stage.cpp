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
                       Params& params, Recompute recompute, const Objective& objective, Told told)
    : config_(config),
      range_(range),
      context_(context),
      objective_(objective),
      told_(std::move(told)),
      layers_(config, range, context, params, recompute) {
  if (range.head && objective.task) task_.emplace(context_, params, *objective.task, config.hidden);
}

void ModelStage::begin(const Pass& pass) {
  pass_ = &pass;
  tapes_.clear();
  tapes_.resize(pass.micros.size());
  backward_passes_ = 0;
  counted_ = 0;
}

Tensor ModelStage::forward(int micro, const Tensor& x) {
  const MicroBatch& share = pass_->micros[static_cast<size_t>(micro)];
  auto& tape = tapes_[static_cast<size_t>(micro)];
  const bool reads = range_.embedding || range_.head || objective_.documents;
  const Rows rows = reads ? read_rows(share) : Rows();
  tape = std::make_unique<Tape>(Micro{.sequences = share.sequences,
                                      .length = objective_.length,
                                      .first_sequence = share.first,
                                      .training = pass_->training,
                                      .document_start = rows.document_start,
                                      .places = rows.places},
                                pass_->training);
  const Tensor y = layers_.forward(range_.embedding ? rows.ids : x, *tape);
  if (range_.head) loss(y, share, rows, *tape);
  if (!pass_->training) tape.reset();
  return range_.head ? Tensor() : y;
}

void ModelStage::loss(const Tensor& h, const MicroBatch& micro, const Rows& rows, Tape& tape) {
  // Of an examination only the task counts.
  const float weight = task_ && !pass_->training ? 0 : objective_.language_weight;
  const Tensor dh = layers_.loss(h, rows.targets, pass_->loss_sum, tape, weight);
  if (!task_) return;
  const int64_t each = objective_.task->sequences;
  const Tensor scores = pass_->scores ? pass_->scores.slice((micro.first - pass_->first) / each,
                                                            micro.sequences / each)
                                      : Tensor();
  task_->loss(h, tape.micro, rows.task, pass_->loss_sum, scores, dh);
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
  const int64_t rows = pass_->micros[static_cast<size_t>(micro)].sequences * objective_.length;
  const int64_t parts = context_.sequence_parallel ? context_.tp.size() : 1;
  return context_.empty({rows / parts, config_.hidden});
}

ModelStage::Rows ModelStage::read_rows(const MicroBatch& micro) {
  const auto length = static_cast<size_t>(objective_.length);
  const auto sequences = static_cast<size_t>(micro.sequences);
  std::vector<int32_t> ids(sequences * length), targets(sequences * length);
  std::vector<int32_t> starts(objective_.documents ? sequences * length : 0);
  std::vector<int32_t> extract(task_ ? sequences : 0), labels(extract.size());
  const auto part = [&](std::vector<int32_t>& all, size_t i) {
    return std::span(all).subspan(all.size() / sequences * i, all.size() / sequences);
  };
  for (size_t i = 0; i < sequences; ++i)
    pass_->samples(
        static_cast<uint64_t>(micro.first) + i,
        {part(ids, i), part(targets, i), part(starts, i), part(extract, i), part(labels, i)});
  Rows rows;
  const auto upload = [&](const std::vector<int32_t>& host) {
    const Tensor device = context_.backend.empty({static_cast<int64_t>(host.size())}, DType::i32);
    context_.backend.upload(host.data(), device);
    return device;
  };
  if (range_.embedding) rows.ids = upload(ids);
  if (range_.head) rows.targets = upload(targets);
  if (objective_.documents) {
    rows.document_start = upload(starts);
    rows.places = upload(places_in_documents(starts, length));
  }
  if (task_) {
    rows.task.extract = std::move(extract);
    for (size_t i = 0; i < sequences; i += static_cast<size_t>(objective_.task->sequences))
      rows.task.labels.push_back(labels[i]);
  }
  counted_ += std::ranges::count_if(task_ ? rows.task.labels : targets,
                                    [](int32_t target) { return target >= 0; });
  return rows;
}

}  // namespace katman
