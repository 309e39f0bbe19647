// What a person sees and a file keeps of a run, on the one rank that speaks for it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "orchestrator/control/metrics.h"
#include "orchestrator/eval/evaluate.h"
#include "parallel/checkpoint/commit_log.h"
#include "parallel/trainer.h"
#include "proto/run.pb.h"

namespace katman {

// Writes metrics.jsonl and TensorBoard events, and shows progress on standard error: one rewritten
// line on a terminal, a plain line every few seconds elsewhere. All that writes throws Fenced once
// a newer generation of the run has started: the file is that one's.
class Reporter {
 public:
  // generation: of the run, which its figures carry.
  // flops_per_token over peak_flops (of all ranks together) gives the utilisation.
  // terminal: standard error ends at one, even if it is a pipe here.
  Reporter(const RunSpec& spec, uint64_t generation, double flops_per_token, double peak_flops,
           bool terminal = false);

  // data_s: what the step waited for its tokens; tokens_seen: of the whole run; memory_bytes: of
  // the rank with the most, when it has just been looked at.
  void step(const StepReport& report, double data_s, int64_t tokens_seen,
            std::optional<double> memory_bytes);
  // Mean loss in nats per token; bits per byte when the corpus knows its bytes per token (else 0).
  void validation(int64_t step, double nats, double bytes_per_token);
  // Other figures of a step.
  void write(int64_t step, const Scalars& scalars);
  // What a task head's answers on held-out examples are worth.
  void scores(int64_t step, const Scalars& scalars);
  // Of tasks, after a step.
  void evaluation(int64_t step, const std::vector<TaskResult>& results, int64_t positions);
  // A plain line that does not disturb the rewritten one.
  void say(const std::string& line);

 private:
  std::string progress(const StepReport& report) const;

  using Clock = std::chrono::steady_clock;
  const Files files_;
  CommitLog log_;
  uint64_t generation_;
  JsonLines lines_;
  TensorBoard board_;
  double flops_per_token_, peak_flops_;
  int64_t steps_;
  bool terminal_;
  Clock::time_point last_shown_{};
  double smooth_seconds_ = 0;  // per step, exponentially averaged, without the first
  int64_t seen_ = 0, skipped_ = 0;
};

// "1 h 02 min", "3 min 20 s", "12 s"
std::string duration(double seconds);

}  // namespace katman
