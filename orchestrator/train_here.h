// katman train: one run, looked after by an orchestrator in this process.
#pragma once

#include <string>

#include "proto/run.pb.h"

namespace katman {

// Trains a completed spec on this machine to its end, or until SIGINT, SIGTERM or SIGUSR1, upon
// which it saves and returns. The ranks are processes that end with this one; when one of them
// dies, all start again from the last checkpoint. Throws Error when that does not help, UsageError
// when the ranks refused the run file; they have said why.
//
// dashboard: HOST:PORT for a browser; "off"; or empty: the usual port, or one that is free.
void train_here(const RunSpec& spec, const std::string& dashboard);

}  // namespace katman
