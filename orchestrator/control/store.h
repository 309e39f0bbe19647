// What an orchestrator knows, in one SQLite file: runs, events, commands. (Their figures:
// series.h.)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "orchestrator/control/database.h"
#include "orchestrator/control/fleet.h"
#include "orchestrator/control/ledger.h"
#include "proto/control.pb.h"
#include "proto/run.pb.h"

namespace katman {

class Store {
 public:
  explicit Store(Database& database);

  // A run in the making; its record follows with the effects of its submission.
  void add(const std::string& run, const std::string& submission, const RunSpec& spec);
  // Everything that an event caused, together with the command that was the event, or nothing.
  // Gives the events their numbers.
  void write(Effects& effects, const Fleet& fleet, const CommandRequest* command = nullptr);

  std::vector<RunView> runs();
  RunSpec spec(const std::string& run);
  // The run that a submission of this id made before.
  std::optional<std::string> submitted(const std::string& id);
  // What was answered to the command of this id; nothing when it is not known.
  std::optional<CommandResult> result(const std::string& id);
  std::vector<CommandRequest> pending(const std::string& run);
  // Events after `after`, of one run (empty: of all), at most `most`.
  EventList events(uint64_t after, const std::string& run, int64_t most);
  std::vector<StateChange> state_changes(const std::string& run);
  // The newest `most`, oldest first.
  EventList newest_events(const std::string& run, int64_t most);

  // What came of reading a checkpoint back: "whole", or what is wrong with it. Empty: nobody did.
  void set_verdict(const std::string& checkpoint, const std::string& verdict);
  std::string verdict(const std::string& checkpoint);

 private:
  Database& database_;
};

}  // namespace katman
