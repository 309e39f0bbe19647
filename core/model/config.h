// The shape of a GPT (Radford et al., 2018, 2019) and what follows from it by arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"

namespace katman {

// GPT-2 is the default reading of every field.
struct GptConfig {
  int64_t layers = 12, hidden = 768, heads = 12;
  int64_t sequence = 1024;     // positions
  int64_t vocabulary = 50257;  // tokens that exist
  int64_t feed_forward = 0;    // 0: 4 * hidden
  bool tied_embedding = true;  // logits = h · token embedding^T
  float dropout =
      0;  // after the embedding, on attention probabilities and on both residual branches
  float norm_epsilon = 1e-5f;

  int64_t ff() const { return feed_forward ? feed_forward : 4 * hidden; }
  int64_t head_dim() const { return hidden / heads; }
  // Every matrix, and the two that write to the residual stream in each layer: their deviation is
  // divided by the root of how many there are (Radford et al., 2019, section 2.3).
  Init weight_init() const { return {Init::Kind::normal, 0.02f}; }
  Init residual_init() const;

  // Parameters as published: without padding, tied weights once.
  int64_t parameters() const;
  // Model FLOPs of one token, forward and backward: 6 per weight of a matrix product (the logits
  // included, positions and embedding look-up not) + 12 * layers * hidden * sequence / 2 for causal
  // attention; recomputation not counted (Chowdhery et al., 2022, appendix B, halved for the mask).
  double flops_per_token() const;
  // Throws UsageError naming the field that cannot be, and the nearest value that can. pp: stages.
  void check(int tp = 1, int pp = 1) const;
};

// gpt2-124m, gpt2-355m, gpt2-774m, gpt2-1.5b (Radford et al., 2019), `small` for the quickstart,
// `tiny` for tests. Throws UsageError listing the names for an unknown one.
GptConfig gpt_preset(const std::string& name);
std::vector<std::string> gpt_preset_names();

// Which part of the model a stage holds: layers [first, last), with the embedding or the head.
struct StageRange {
  int64_t first_layer = 0, last_layer = 0;
  bool embedding = true, head = true;
  bool operator==(const StageRange&) const = default;
};

// The model as `stages` ranges, so that the slowest stage is as fast as it can be: layers cost
// their FLOPs, the head costs its logits, the embedding's look-up nothing. Where that leaves a
// choice, later stages get more layers: the first holds the embedding and, under 1F1B, the most
// live activations.
std::vector<StageRange> split_layers(const GptConfig& config, int stages);

// What is computed again in the backward pass instead of remembered.
enum class Recompute { none, selective, full };

}  // namespace katman
