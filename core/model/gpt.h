// The GPT: a decoder-only transformer (Radford et al., 2018, 2019), whole or one stage of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// The published shape of a model. GPT-2 is the default reading of every field.
struct GptConfig {
  int64_t layers = 12, hidden = 768, heads = 12;
  int64_t sequence = 1024;     // positions
  int64_t vocabulary = 50257;  // tokens that exist; storage is padded to a multiple of 128 * tp
  int64_t feed_forward = 0;    // 0: 4 * hidden
  bool tied_embedding = true;  // logits = h · token embedding^T
  float dropout =
      0;  // after the embedding, on attention probabilities and on both residual branches
  float norm_epsilon = 1e-5f;

  int64_t ff() const { return feed_forward ? feed_forward : 4 * hidden; }
  int64_t head_dim() const { return hidden / heads; }
  // Parameters as published: without padding, tied weights once.
  int64_t parameters() const;
  // Model FLOPs of one token, forward and backward: 6 per weight of a matrix product (the logits
  // included, positions and embedding look-up not) + 12 * layers * hidden * sequence / 2 for causal
  // attention; recomputation not counted (Chowdhery et al., 2022, appendix B, halved for the mask).
  double flops_per_token() const;
  // Throws UsageError naming the field that cannot be, and the nearest value that can.
  void check(int tp = 1, int pp = 1) const;
};

// gpt2-124m, gpt2-355m, gpt2-774m, gpt2-1.5b (Radford et al., 2019), small ones for tests and the
// quickstart. Throws UsageError listing the names for an unknown one.
GptConfig gpt_preset(const std::string& name);
std::vector<std::string> gpt_preset_names();

// Which part of the model a stage holds: layers [first, last), with the embedding or the head.
struct StageRange {
  int64_t first_layer = 0, last_layer = 0;
  bool embedding = true, head = true;
};

enum class Recompute { none, selective, full };

// Layers of one stage with their parameters declared in `params`. Activations between stages are
// [rows, hidden].
class GptStage {
 public:
  GptStage(const GptConfig& config, StageRange range, const ModelContext& context, Params& params,
           Recompute recompute = Recompute::none);
  ~GptStage();

  // First stage: ids i32 [sequences * length]; later stages: the previous stage's activation.
  // Returns the activation for the next stage, or for the last stage the normalised hidden state.
  Tensor forward(const Tensor& x, Tape& tape);
  // Last stage only: adds the micro-batch's loss. targets i32 [sequences * length], < 0: not
  // counted. loss_sum f32 [2] += (sum of -log p, number of counted tokens). When the tape records,
  // also computes the gradient (of the sum) with respect to h and to the head's weights, chunk of
  // rows by chunk of rows, so that logits never exist whole.
  void loss(const Tensor& h, const Tensor& targets, const Tensor& loss_sum, Tape& tape);
  // Last stage: dy is ignored (what loss() left is used). Returns the gradient for the previous
  // stage; an empty tensor from the first stage.
  Tensor backward(const Tensor& dy, Tape& tape);
  // Logits f32 [rows, vocabulary] for generation, whole on every tp rank (gathered, unpadded).
  Tensor logits(const Tensor& h);

  // Empty caches for generation: [layer of this stage].
  std::vector<KvCache> make_caches(int64_t sequences, int64_t capacity) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace katman
