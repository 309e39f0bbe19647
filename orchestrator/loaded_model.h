// A checkpoint as a model that can be asked, on one device.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/model/generate.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "parallel/checkpoint/checkpoint.h"

namespace katman {

// The checkpoint that `path` names (a run, its checkpoints/, or one of them), whatever layout it
// was saved under, with the tokenizer that was saved beside it. step < 0: the newest.
std::filesystem::path chosen_checkpoint(const std::filesystem::path& path, int64_t step);
// Throws UsageError when the checkpoint has none.
Tokenizer tokenizer_of(const std::filesystem::path& checkpoint);

class LoadedModel {
 public:
  // precision: "fp32" or "bf16", of weights and activations.
  LoadedModel(const std::filesystem::path& checkpoint, const std::string& device, int threads,
              const std::string& precision);

  const CheckpointInfo& info() const { return info_; }
  Generator& generator() { return generator_; }
  // f32 [ids, vocabulary]: row t is about the token after ids[t]. At most model.sequence ids.
  std::vector<float> logits(std::span<const int32_t> ids);

 private:
  void load(const std::filesystem::path& checkpoint);

  CheckpointInfo info_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Comm> comm_;
  ModelContext context_;
  Params params_;
  GptStage stage_;
  Generator generator_;
};

}  // namespace katman
