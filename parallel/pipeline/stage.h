// One stage of the model under a schedule: its layers, and a tape for every micro-batch under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/model/gpt.h"
#include "core/model/task_head.h"
#include "parallel/batch.h"
#include "parallel/pipeline/run.h"

namespace katman {

// One sequence, to be filled.
struct Sequence {
  std::span<int32_t> ids;      // [length] what the model reads
  std::span<int32_t> targets;  // [length] what it should say next; below 0: not counted
  // [length] the position where the token's document begins, at most its own: attention stays
  // inside, and positions are counted from there. It comes as zeros, one document; empty where the
  // run does not keep documents apart.
  std::span<int32_t> document_start;
  // [1] with a task head, else empty: see TaskRows. The sequences of an example say the same label.
  std::span<int32_t> extract, label;
};

// Fills `out` with sample `sample`, a pure function. Injected, so that this folder knows no files.
using Samples = std::function<void(uint64_t sample, const Sequence& out)>;

// Samples of running text: `fill` gives length + 1 tokens, and each is the target of the one
// before.
Samples windows(std::function<void(uint64_t sample, std::span<int32_t> tokens)> fill);

// What a stage reads, and what is asked of the last one.
struct Objective {
  int64_t length = 0;             // tokens of a sequence, at most the model's positions
  bool documents = false;         // keep the documents of a sequence apart: every stage reads them
  std::optional<TaskShape> task;  // a head that tells classes or choices apart
  float language_weight = 1;      // of the loss of a counted token
};

// What one pass over a batch is about, the same for all stages of a rank.
struct Pass {
  const Samples& samples;
  std::vector<MicroBatch> micros;  // [micro]
  bool training = true;            // gradients and dropout, or the loss alone
  Tensor loss_sum;                 // f32 [1], added to by the last stage
  int64_t first = 0;               // the pass's first sequence, of all replicas
  Tensor scores = {};  // f32 [examples since `first`, outputs], optional, of a task head
};

// GptStage as the loop sees it. The ends of the model read their tokens themselves.
class ModelStage : public StageWork {
 public:
  // What to do as gradients become complete for this step: of a layer, while the last backward pass
  // goes on; of all the stage. Layers whose weight gradients are postponed are told by the latter.
  struct Told {
    std::function<void(int64_t layer)> layer_done;
    std::function<void()> all_done;
  };

  ModelStage(const GptConfig& config, StageRange range, const ModelContext& context, Params& params,
             Recompute recompute, const Objective& objective, Told told);

  // Before each pass; `pass` outlives it. Every tape must have been used up.
  void begin(const Pass& pass);
  // What the loss since begin() is a sum over: targets, or with a task head examples.
  int64_t counted() const { return counted_; }
  GptStage& layers() { return layers_; }

  Tensor forward(int micro, const Tensor& x) override;
  Tensor backward(int micro, const Tensor& dy, bool postpone_weights) override;
  void backward_weight(int micro) override;
  Tensor empty_activation(int micro) override;
  void reduce() override { told_.all_done(); }

 private:
  struct Rows {
    // i32 [sequences * length], those that are needed here.
    Tensor ids, targets, document_start, places;
    TaskRows task;
  };
  Rows read_rows(const MicroBatch& micro);
  void loss(const Tensor& h, const MicroBatch& micro, const Rows& rows, Tape& tape);
  Tape& tape(int micro) { return *tapes_[static_cast<size_t>(micro)]; }
  void release_if_done(int micro);

  GptConfig config_;
  StageRange range_;
  const ModelContext& context_;
  Objective objective_;
  Told told_;
  GptStage layers_;
  std::optional<TaskHead> task_;  // on the last stage
  const Pass* pass_ = nullptr;
  std::vector<std::unique_ptr<Tape>> tapes_;  // [micro], while it is between forward and backward
  size_t backward_passes_ = 0;                // since begin()
  int64_t counted_ = 0;
};

}  // namespace katman
