#include "orchestrator/loaded_model.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "orchestrator/rank_device.h"
#include "parallel/comm/device_world.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

DType type_named(const std::string& precision) {
  return precision == "fp32" ? DType::f32 : DType::bf16;
}

// A rank may wait for a person's next request.
constexpr std::chrono::hours longest_transfer{24 * 30};

StageRange stage_of(const GptConfig& config, const Mesh& mesh, int rank) {
  return split_layers(config, mesh.pp)[static_cast<size_t>(mesh.place(rank).pp)];
}

// Ranks of one machine share its cores.
int threads_of(const ModelOptions& options) {
  if (options.threads > 0 || options.mesh.size() == 1) return options.threads;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, cores / options.mesh.size());
}

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

void ModelOptions::check(const GptConfig& model) const {
  require_usage(precision == "fp32" || precision == "bf16", "--precision {}: use fp32 or bf16",
                precision);
  require_usage(mesh.dp >= 1, "mesh.dp = {} must be at least 1", mesh.dp);
  model.check(mesh.tp, mesh.pp);
}

LoadedModel::LoadedModel(const fs::path& checkpoint, const ModelOptions& options, Comm& host)
    : info_(read_checkpoint_info(checkpoint)),
      backend_(
          (options.check(info_.model),
           make_backend(device_of_rank(options.device, local_place(host)), threads_of(options)))),
      world_(device_world(host, *backend_, longest_transfer)),
      groups_(options.mesh, *world_),
      context_{*backend_, *groups_.tp, type_named(options.precision), false, Key(0)},
      stage_(info_.model, stage_of(info_.model, options.mesh, host.rank()), context_, params_),
      reader_(info_.model, {&stage_}, context_, *groups_.pp) {
  load(checkpoint);
}

void LoadedModel::load(const fs::path& checkpoint) {
  params_.allocate(*backend_, context_.activation, int64_t{16} << 20, 16, false);
  std::vector<Piece> pieces;
  int64_t longest = 0;
  for (const Param& param : params_.all()) {
    pieces.push_back({.what = Piece::What::master,
                      .name = param.name,
                      .global = param.global,
                      .box = param.mine,
                      .data = param.value.flat()});
    longest = std::max(longest, param.mine.elements());
  }
  if (context_.activation == DType::f32) {
    load_checkpoint(checkpoint, pieces, *backend_);
  } else {
    const Tensor values = backend_->empty({longest}, DType::f32);
    read_checkpoint(checkpoint, pieces, [&](const Piece& piece, const float* read) {
      const Tensor mine = values.slice(0, piece.data.elements());
      backend_->upload(read, mine);
      backend_->cast(mine, piece.data);
    });
  }
  backend_->weights_changed();
}

std::vector<float> LoadedModel::logits(std::span<const int32_t> ids) {
  const Unread whole{ids};
  const Hidden hidden = reader_.read({&whole, 1});
  std::vector<int32_t> rows(ids.size());
  std::iota(rows.begin(), rows.end(), 0);
  return reader_.logits(hidden, rows);
}

}  // namespace katman
