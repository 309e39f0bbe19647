// The GPT: a decoder-only transformer (Radford et al., 2018, 2019), whole or one stage of it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/model/config.h"
#include "core/model/head.h"
#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// Layers of one stage with their parameters declared in `params`. Activations between stages are
// [rows, hidden], or [rows / tp, hidden] under sequence parallelism, as ModelContext::activation.
//
// Parameters, each with .weight and, where the model has it, .bias: wte and wpe (learned positions;
// both without bias), then for layer N h.N.ln_1, h.N.attn.qkv, h.N.attn.proj, h.N.ln_2, h.N.mlp.up,
// h.N.mlp.down, then ln_f (norms before), and head (no bias) when the embedding is not tied. When
// it is, the first and the last stage both hold wte.weight, marked Param::tied unless they are one
// stage.
class GptStage {
 public:
  // context.backend, context.tp and params outlive the stage.
  GptStage(const GptConfig& config, StageRange range, const ModelContext& context, Params& params,
           Recompute recompute = Recompute::none);
  ~GptStage();

  // First stage: ids i32 [sequences * length], kept by the tape; later stages: the previous stage's
  // activation. Returns the activation for the next stage, or for the last stage the (normalised)
  // hidden state.
  Tensor forward(const Tensor& x, Tape& tape);
  // Last stage only: adds the micro-batch's loss. targets i32 [sequences * length], < 0: not
  // counted. loss_sum f32 [1] += sum of -log p, the same on every tensor rank. When the tape
  // records, also computes the gradient (of the sum) with respect to h and to the head's weights,
  // chunk of rows by chunk of rows, so that logits never exist whole. Returns the former, which
  // waits on the tape for backward(): who has a loss of their own on h adds its gradient there.
  // `weight` multiplies loss and gradients; with 0 nothing is computed.
  Tensor loss(const Tensor& h, const Tensor& targets, const Tensor& loss_sum, Tape& tape,
              float weight = 1);
  // Last stage: dy is ignored (what loss() left is used). Returns the gradient for the previous
  // stage; an empty tensor from the first stage. layer_done is told each layer, counted from the
  // model's first, as soon as this micro-batch adds nothing more to its gradients but what the tape
  // was told to postpone.
  Tensor backward(const Tensor& dy, Tape& tape,
                  const std::function<void(int64_t layer)>& layer_done = {});
  // What the model says about targets i32 [rows] after rows of h, the same on every tp rank. [row]
  std::vector<TokenScore> scores(const Tensor& h, const Tensor& targets);
  // Logits f32 [rows, vocabulary] for generation, whole on every tp rank (gathered, unpadded).
  Tensor logits(const Tensor& h);

  // From now on, what ModelContext::sequence_parallel says. Only passes that remember nothing may do
  // without what the stage was built with: their texts can then have any length.
  void set_sequence_parallel(bool yes);

  // Empty caches for generation: [layer of this stage].
  std::vector<KvCache> make_caches(int64_t sequences, int64_t capacity) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace katman
