// How a published model was trained, as the defaults of a run that names it.
#pragma once

#include "proto/run.pb.h"

namespace katman {

// Fills the batch, the optimizer and the learning rate of `spec` with what its preset's authors
// published, where the run file says nothing. `sequence`: of its model, in tokens.
void apply_recipe(RunSpec& spec, int64_t sequence);

// data.batch_tokens, .batch_start_tokens and .batch_ramp_tokens in whole sequences.
struct BatchInSequences {
  int64_t full = 0, start = 0, ramp = 0;
};
BatchInSequences batch_in_sequences(const DataSpec& data, int64_t sequence);

}  // namespace katman
