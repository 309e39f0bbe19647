// A checkpoint as a model that can be asked, on the ranks of a mesh.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/model/reader.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/groups.h"

namespace katman {

// The checkpoint that `path` names (a run, its checkpoints/, or one of them), whatever layout it
// was saved under, with the tokenizer that was saved beside it. step < 0: the newest.
std::filesystem::path chosen_checkpoint(const std::filesystem::path& path, int64_t step);
// Throws UsageError when the checkpoint has none.
Tokenizer tokenizer_of(const std::filesystem::path& checkpoint);

struct ModelOptions {
  std::string device = "auto", precision = "fp32";  // of weights and activations: fp32 or bf16
  int threads = 0;                                  // of this rank; 0: its share of the cores
  Mesh mesh;

  // Throws UsageError for what no model can be asked with, before any rank starts.
  void check(const GptConfig& model) const;
};

// Weights alone, each rank reading the bytes of its own. Replicas (mesh.dp) each hold the model and
// are asked by themselves.
class LoadedModel {
 public:
  // Collective over `host`, a world on host memory of options.mesh.size() ranks; it outlives this.
  LoadedModel(const std::filesystem::path& checkpoint, const ModelOptions& options, Comm& host);

  const CheckpointInfo& info() const { return info_; }
  Backend& backend() { return *backend_; }
  Comm& world() { return *world_; }  // for the tensors of the backend
  const Groups& groups() const { return groups_; }
  Reader& reader() { return reader_; }
  // f32 [ids, vocabulary]: row t is about the token after ids[t]. At most model.sequence ids.
  std::vector<float> logits(std::span<const int32_t> ids);

 private:
  void load(const std::filesystem::path& checkpoint);

  CheckpointInfo info_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Comm> world_;
  Groups groups_;
  ModelContext context_;
  Params params_;
  GptStage stage_;
  Reader reader_;
};

}  // namespace katman
