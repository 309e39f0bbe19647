// What comes in from outside as a run to be.
#pragma once

#include <filesystem>

#include "proto/control.pb.h"
#include "proto/run.pb.h"

namespace katman {

// The completed spec of a submission to the orchestrator whose data lies in `data`: everything of
// the run goes to a directory below, and nothing is made yet. Throws UsageError for a run file that
// is too long, that names where it writes, or whose data is not there or does not fit.
RunSpec parse_submission(const SubmitRequest& request, const std::filesystem::path& data);

}  // namespace katman
