#include "orchestrator/loaded_model.h"

#include "orchestrator/rank_device.h"
#include "parallel/comm/alone.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

DType type_named(const std::string& precision) {
  require_usage(precision == "fp32" || precision == "bf16", "--precision {}: use fp32 or bf16",
                precision);
  return precision == "fp32" ? DType::f32 : DType::bf16;
}

StageRange whole(const GptConfig& config) { return {0, config.layers, true, true}; }

}  // namespace

fs::path chosen_checkpoint(const fs::path& path, int64_t step) {
  const fs::path newest = find_checkpoint(path);
  if (step < 0 || newest == path) return newest;
  std::string steps;
  for (const auto& entry : fs::directory_iterator(newest.parent_path())) {
    if (!fs::exists(entry.path() / "manifest.textproto")) continue;
    const CheckpointInfo info = read_checkpoint_info(entry.path());
    if (info.step == step) return entry.path();
    steps += (steps.empty() ? "" : ", ") + std::to_string(info.step);
  }
  throw UsageError(
      fmt::format("{} has no checkpoint of step {}; it has: {}", path.string(), step, steps));
}

Tokenizer tokenizer_of(const fs::path& checkpoint) {
  const fs::path file = checkpoint / "tokenizer.json";
  require_usage(fs::exists(file),
                "{} is missing: without it, text means nothing to the model; "
                "put the tokenizer that it was trained with there",
                file.string());
  return Tokenizer::load(file.string());
}

LoadedModel::LoadedModel(const fs::path& checkpoint, const std::string& device, int threads,
                         const std::string& precision)
    : info_(read_checkpoint_info(checkpoint)),
      backend_(make_backend(device_of_rank(device, {}), threads)),
      comm_(make_comm_of_one(backend_->queue(), "generation")),
      context_{*backend_, *comm_, type_named(precision), false, Key(0)},
      stage_(info_.model, whole(info_.model), context_, params_),
      generator_(info_.model, stage_, *backend_) {
  load(checkpoint);
}

void LoadedModel::load(const fs::path& checkpoint) {
  params_.allocate(*backend_, context_.activation, int64_t{16} << 20, 16);
  for (const Param& param : params_.all()) {
    Piece piece;
    piece.name = param.name;
    piece.global = param.global;
    piece.box = param.mine;
    const bool direct = context_.activation == DType::f32;
    const Tensor values = direct ? param.value : backend_->empty(param.value.shape(), DType::f32);
    piece.data = values.flat();
    load_checkpoint(checkpoint, {&piece, 1}, *backend_);
    if (!direct) backend_->cast(values, param.value);
  }
  backend_->weights_changed();
}

std::vector<float> LoadedModel::logits(std::span<const int32_t> ids) {
  const auto count = static_cast<int64_t>(ids.size());
  require_usage(count >= 1 && count <= info_.model.sequence,
                "{} tokens were given; this model reads 1 to {} at a time", count,
                info_.model.sequence);
  Tape tape(Micro{.sequences = 1, .length = count, .training = false, .document_start = {}}, false);
  const Tensor input = backend_->empty({count}, DType::i32);
  backend_->upload(ids.data(), input);
  const Tensor logits = stage_.logits(stage_.forward(input, tape));
  std::vector<float> host(static_cast<size_t>(logits.elements()));
  backend_->download(logits, host.data());
  return host;
}

}  // namespace katman
