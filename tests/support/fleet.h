// Runs and events to try Fleet with.
#pragma once

#include <string>
#include <utility>

#include "orchestrator/control/fleet.h"

namespace katman::testing {

inline RunView new_run(const std::string& name, int ranks = 1, int priority = 0) {
  RunView run;
  run.set_name(name);
  run.set_ranks(ranks);
  run.set_priority(priority);
  run.set_steps(1000);
  return run;
}

inline WorkerReport report(const std::string& run, uint64_t generation, uint64_t step,
                           Phase phase = TRAINING) {
  WorkerReport report;
  report.set_run(run);
  report.set_generation(generation);
  report.set_step(step);
  report.set_phase(phase);
  return report;
}

inline CommandRequest command(const std::string& run, Verb verb, const std::string& id = "c") {
  CommandRequest request;
  request.set_id(id);
  request.set_run(run);
  request.set_verb(verb);
  return request;
}

inline const Ending crash{.signalled = true, .how = "signal 9"}, clean{.clean = true},
    error{.how = "broken"};

// A fleet with one run "a" that has done ten steps by time 2.
inline Fleet running_fleet(FleetPolicy policy = {}) {
  Fleet fleet(std::move(policy));
  fleet.submit(new_run("a"), 0);
  fleet.passed(0);
  fleet.reported(report("a", 1, 0), 1);
  fleet.reported(report("a", 1, 10), 2);
  return fleet;
}

inline RunView::State state(const Fleet& fleet, const std::string& run = "a") {
  return fleet.run(run).state();
}

}  // namespace katman::testing
