// The section of a run file that says what to start from and what to learn.
#pragma once

#include "proto/run.pb.h"

namespace katman {

// Fills in and checks a spec that fine-tunes, before the rest of it: its section, the recipe (that
// of Radford et al., 2018, section 4.1, where the file says nothing), and that nothing is said
// which the checkpoint decides. Throws UsageError: field, value, remedy.
void complete_finetune(RunSpec& spec);

}  // namespace katman
