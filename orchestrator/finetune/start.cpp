#include "orchestrator/finetune/start.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "orchestrator/loaded_model.h"
#include "parallel/frozen.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

std::optional<fs::path> own_checkpoint(const RunSpec& spec) {
  const fs::path checkpoints = fs::path(spec.directory()) / "checkpoints";
  if (!fs::exists(checkpoints)) return std::nullopt;
  try {
    const fs::path newest = find_checkpoint(checkpoints);
    read_checkpoint_info(newest);
    return newest;
  } catch (const Error&) {
    return std::nullopt;  // it was stopped before its first, or that is damaged
  }
}

bool is_vocabulary(const std::string& name) {
  return name == "wte.weight" || name == "head.weight";
}

bool is_new(const std::string& name) { return name.starts_with("task.") || is_adapter(name); }

// The rows of the piece that a vocabulary of `rows` has; nothing when there are none.
std::optional<Piece> first_rows(Piece piece, int64_t rows) {
  const int64_t most = rows - piece.box.begin[0];
  if (most <= 0) return std::nullopt;
  piece.global = {rows, piece.global[1]};
  piece.box.extent[0] = std::min(piece.box.extent[0], most);
  piece.data = piece.data.flat().slice(0, piece.box.elements());
  return piece;
}

}  // namespace

FinetuneTask task_of(const RunSpec& spec) {
  return static_cast<FinetuneTask>(spec.finetune().task());
}

fs::path starting_checkpoint(const RunSpec& spec) {
  if (const auto own = own_checkpoint(spec)) return *own;
  const std::string& from = spec.finetune().from();
  require_usage(!from.empty(),
                "finetune.from is missing: name the run or the checkpoint to start from");
  require_usage(fs::exists(from), "finetune.from: there is no {}", from);
  return find_checkpoint(from);
}

Tokenizer starting_tokenizer(const RunSpec& spec) {
  return with_marks(tokenizer_of(starting_checkpoint(spec)), task_of(spec));
}

GptConfig starting_model(const RunSpec& spec) {
  return read_checkpoint_info(starting_checkpoint(spec)).model;
}

void load_weights(const fs::path& checkpoint, std::span<const Piece> pieces, Backend& backend) {
  const int64_t vocabulary = read_checkpoint_info(checkpoint).model.vocabulary;
  std::vector<Piece> wanted;
  for (const Piece& piece : pieces) {
    if (piece.what != Piece::What::master || is_new(piece.name)) continue;
    if (!is_vocabulary(piece.name))
      wanted.push_back(piece);
    else if (const auto rows = first_rows(piece, vocabulary))
      wanted.push_back(*rows);
  }
  load_checkpoint(checkpoint, wanted, backend);
}

void settle_frozen(const RunSpec& spec, Trainer& trainer, Backend& backend, Comm& world) {
  if (trainer.params().frozen().empty()) return;
  const std::vector<Piece> pieces =
      frozen_pieces(trainer.params(), backend, trainer.groups(), Key(trainer.config().seed));
  CheckpointOptions options;
  options.weights_only = true;
  CheckpointStore base(fs::path(spec.directory()) / base_name, options, backend, world);
  if (!base.resume(pieces)) {
    load_weights(starting_checkpoint(spec), pieces, backend);
    CheckpointInfo info;
    info.model = trainer.config().model;
    info.mesh = trainer.config().mesh;
    base.save(info, pieces);
    require(base.finish(), "the frozen weights were not saved; the log above says why");
  }
  set_frozen(trainer.params(), backend, pieces);
}

}  // namespace katman
