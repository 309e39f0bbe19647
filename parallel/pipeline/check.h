// Proof, before anything runs, that a schedule can be obeyed.
#pragma once

#include "parallel/pipeline/schedule.h"

namespace katman {

// Throws UsageError naming rank and action unless the schedule, with its transfers,
// * runs each of `micros` micro-batches exactly once forward and, when training, backward (whole or
//   as input and weight parts, in this order) on every stage, each stage on its rank;
// * computes only from what was computed or received before, sends what it computed, and reduces
//   each stage once, after its last gradient;
// * pairs the k-th send from one rank to another with that rank's k-th receive from it;
// * ends even when every send and receive blocks until its peer is there.
void verify(const Schedule& schedule, int micros, bool training = true);

}  // namespace katman
