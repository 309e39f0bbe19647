// What a run's own files say to who looks at it: its checkpoints and the last timeline.
#pragma once

#include <filesystem>

#include "proto/control.pb.h"

namespace katman {

// The checkpoints that count, oldest first. A run without any has none.
void add_checkpoints(const std::filesystem::path& run_directory, RunDetails& details);

// The step that the stages wrote down, as a picture, beside the bubble that it would have if only
// its computations took time. Nothing when there is no whole timeline.
void add_timeline(const std::filesystem::path& run_directory, RunDetails& details);

}  // namespace katman
