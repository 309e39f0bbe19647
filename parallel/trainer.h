// One rank's part of training: the loop body that everything else exists for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/adam.h"
#include "core/backend.h"
#include "core/comm.h"
#include "core/model/gpt.h"
#include "core/model/reader.h"
#include "parallel/batch.h"
#include "parallel/groups.h"
#include "parallel/mesh.h"
#include "parallel/pipeline/schedule.h"
#include "parallel/pipeline/stage.h"
#include "parallel/pipeline/timeline.h"
#include "parallel/vote.h"
#include "parallel/zero.h"

namespace katman {

struct TrainConfig {
  GptConfig model;
  Mesh mesh;
  AdamConfig adam;
  LearningRate rate;
  int64_t steps = 1;            // of the whole run
  int64_t batch_sequences = 1;  // per optimizer step, over all replicas
  // Where the batch grows: from so many sequences, over the first so many; 0: it does not.
  int64_t ramp_start = 0, ramp_sequences = 0;
  int64_t micro_batch = 1;        // sequences per forward pass, at most
  int64_t length = 0;             // tokens of a sequence; 0: all of the model's positions
  bool documents = false;         // attention stays inside the documents of a sequence
  std::optional<TaskShape> task;  // a head that tells classes or choices apart
  Lora lora = {};                 // rank > 0: only adapters (and a task head) are trained
  float language_weight = 1;      // of the loss of a counted token, beside that of the task
  DType precision = DType::f32;   // of values and activations: f32 or bf16
  bool fp8 = false;               // linear layers round what they multiply to 8-bit floats
  uint64_t seed = 0;              // names every random stream of the model
  std::string schedule = "1f1b";  // a kind that make_schedule() knows
  int chunks = 1;                 // stages per pipeline rank; more than one only when interleaved
  Recompute recompute = Recompute::none;
  bool sequence_parallel = false;
  int64_t bucket_elements = 4 << 20;  // of gradients that are summed over replicas at once

  BatchPlan batches() const { return BatchPlan(batch_sequences, ramp_start, ramp_sequences); }
  // A step of so many micro-batches per replica, for all pipeline ranks, computation only.
  Schedule schedule_over(int micros) const;
  int64_t tokens_per_sequence() const { return length ? length : model.sequence; }
  // Throws UsageError naming the field that cannot be, and the nearest value that can.
  void check() const;
  // What weights, gradients and optimizer take on all ranks together; activations come on top.
  int64_t state_bytes() const;
};

// The loss or the gradients have left the numbers for good: from the same checkpoint with the same
// settings they would again.
struct Diverged : Error {
  using Error::Error;
};

// What every rank knows after a step; all fields but `seconds` are the same on all ranks.
struct StepReport {
  int64_t step = 0;
  double loss = 0;       // mean over the batch, nats per token; with a task head, per example
  int64_t tokens = 0;    // counted in it; with a task head, examples
  int64_t read = 0;      // tokens that went through the model
  double grad_norm = 0;  // of the mean gradient, before clipping
  double rate = 0;       // learning rate
  double seconds = 0;
  bool skipped = false;  // NaN or infinity: the parameters were left as they are
  int64_t skipped_in_a_row = 0;
  Wishes agreed;
};

// Where a rank's memory goes: what the layout promises (the boxes it holds, and of the optimizer's
// state 1 / dp of them) against what was allocated, which is padded.
struct MemoryLine {
  std::string what;
  int64_t promised_bytes = 0, allocated_bytes = 0;
};

// What the weights are before a trainer's first step.
enum class Start {
  fresh,            // the functions of the seed that every layout starts from
  from_checkpoint,  // zeros: a load and resume() come before the first step
};

// Batch `s` is the sequences of `samples` that TrainConfig::batches() gives to step s, cut by
// arithmetic over replicas and micro-batches, evenly as far as it goes. Gradients are sums over
// tokens, divided once by the batch's counted tokens, so neither cut changes them beyond rounding.
// After the first step a step takes no memory from the device and waits for it once, at the vote.
class Trainer {
 public:
  // Builds this rank's stages and optimizer. Collective over `world`, whose size is
  // config.mesh.size(). backend and world outlive the trainer.
  Trainer(const TrainConfig& config, Backend& backend, Comm& world, Samples samples,
          Start start = Start::fresh);
  // The same over groups that exist already.
  Trainer(const TrainConfig& config, Backend& backend, Comm& world, Groups groups, Samples samples,
          Start start = Start::fresh);
  ~Trainer();

  // One optimizer step. Collective. Throws Diverged when three steps in a row had to be skipped.
  StepReport step(Wishes mine);
  // All of a step's work on this rank, without agreeing with others on what it was worth: for
  // planning on a device that computes nothing.
  void rehearse_step();
  // Mean loss in nats per token over sequences [first, first + count) of `samples`, without
  // dropout; with a task head that of the task per example. Collective, the same on all ranks.
  double validate(const Samples& samples, int64_t first, int64_t count);
  // The same, and what a task head says: logits [examples][outputs]. Collective, the same on all
  // ranks.
  struct Examination {
    double loss = 0;
    std::vector<float> scores;
  };
  Examination examine(const Samples& samples, int64_t first, int64_t count);

  // Lets `asks` ask the model as it is now, between steps, on all ranks of a replica alike. Rows
  // are not split over tensor ranks meanwhile: texts have any length.
  void ask(const std::function<void(Reader& reader)>& asks);

  int64_t next_step() const;
  // After a load into optimizer().pieces(): values follow the masters, and training goes on with
  // step `next`. Collective.
  void resume(int64_t next);

  const TrainConfig& config() const;
  const BatchPlan& batches() const;
  Params& params();
  Zero& optimizer();
  const Groups& groups() const;
  std::vector<MemoryLine> memory() const;
  // What this rank did in its last step, always recorded.
  const std::vector<Span>& timeline() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace katman
