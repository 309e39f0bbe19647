// Whether what is in a run's directory may go on as the run that is wanted now. Layout, schedule,
// device and data order may change from one start to the next; what the weights mean may not.
#pragma once

#include "core/model/config.h"
#include "orchestrator/run_data.h"
#include "parallel/checkpoint/checkpoint.h"
#include "proto/run.pb.h"

namespace katman {

// Throws UsageError when one is a fine-tuning and the other is not.
void check_same_kind(const RunSpec& before, const RunSpec& now);

// Throws UsageError for a checkpoint of another model than `model`, and for one whose tokens are
// not those of `data`: it names what differs.
void check_continues(const CheckpointInfo& saved, const RunSpec& now, const GptConfig& model,
                     const RunData& data);

}  // namespace katman
