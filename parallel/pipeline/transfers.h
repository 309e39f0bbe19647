// The pass that turns what to compute into what to do.
#pragma once

#include "parallel/pipeline/schedule.h"

namespace katman {

// Inserts sends, receives and reduces into a schedule of compute actions. The compute actions are
// played in one total order of events; a send and its receive are appended to both programs at the
// same event, so receives pair with sends by order alone and even sends that block cannot deadlock.
// A stage's reduce follows its last weight gradient. Throws Error naming every rank's position when
// the actions wait for each other.
Schedule with_comms(const Schedule& compute);

}  // namespace katman
