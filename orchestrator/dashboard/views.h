// What the page shows of a run besides its record and its curves. Each view is JSON, made from the
// run's own files when it is asked for; a run that has not written them yet gives an empty object.
// Any thread. Throw UsageError for what cannot be.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "proto/control.pb.h"
#include "proto/run.pb.h"

namespace katman {

// A series as columns: {"width", "step", "mean", "low", "high", "bad", "generation",
// "discarded"}; low, high are left out where every point is one value. What is not finite is null.
nlohmann::json columns_of(const SeriesReply& series);

// One step as the stages of the first replica wrote it down: {"kind", "makespan_s", "measured",
// "simulated", "theory", "ranks": [[[letter, stage, micro, start_s, end_s], ...], ...]}. Bubbles
// are parts of 1: measured; simulated with the measured costs; and in theory, were all stages
// alike.
nlohmann::json timeline_view(const RunSpec& spec);

// ranks.json as the run wrote it (orchestrator/observer.h).
nlohmann::json ranks_view(const RunSpec& spec);

// Which documents step `step` was trained on: samples [first, first + count) of its batch, as
// orchestrator/documents.h tells them; "sources": whether the corpus says where they came from.
nlohmann::json batch_view(const RunSpec& spec, uint64_t step, uint64_t first, uint64_t count);

// What a spec would do: {"run_file", "parameters", "ranks", "tokens_per_step", "micro_batches",
// "bubble", "memory": [[what, bytes per rank], ...]}.
nlohmann::json plan_view(const RunSpec& spec);

}  // namespace katman
