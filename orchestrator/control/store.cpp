#include "orchestrator/control/store.h"

#include <algorithm>

#include "core/error.h"

namespace katman {
namespace {

EventList read_events(Query& rows) {
  EventList list;
  while (rows.next()) {
    Event& event = *list.add_events();
    event.set_seq(static_cast<uint64_t>(rows.integer(0)));
    event.set_time(rows.real(1));
    event.set_run(rows.text(2));
    event.set_generation(static_cast<uint64_t>(rows.integer(3)));
    event.set_kind(rows.text(4));
    event.set_text(rows.text(5));
  }
  return list;
}

}  // namespace

Store::Store(Database& database) : database_(database) {
  database_.run(
      "create table if not exists runs(name text primary key, submission text, spec blob,"
      " view blob);"
      "create table if not exists events(seq integer primary key autoincrement, time real,"
      " run text, generation integer, kind text, text text);"
      "create index if not exists events_of_run on events(run, seq);"
      "create table if not exists commands(id text primary key, run text, pending integer,"
      " request blob, result blob);"
      "create table if not exists verdicts(checkpoint text primary key, verdict text);");
}

void Store::add(const std::string& run, const std::string& submission, const RunSpec& spec) {
  Query insert(database_, "insert or replace into runs values(?, ?, ?, '')");
  (insert << run << submission << spec.SerializeAsString()).run();
}

void Store::write(Effects& effects, const Fleet& fleet, const CommandRequest* command) {
  if (effects.changed.empty() && effects.events.empty() && effects.answers.empty() && !command)
    return;
  Transaction transaction(database_);
  if (command) {
    CommandResult taken;
    taken.set_text("taken");
    *taken.mutable_run() = fleet.run(command->run());
    Query insert(database_, "insert into commands values(?, ?, 1, ?, ?)");
    insert << command->id() << command->run() << command->SerializeAsString()
           << taken.SerializeAsString();
    insert.run();
  }
  Query update(database_, "update runs set view = ? where name = ?");
  for (const std::string& run : effects.changed)
    (update << fleet.run(run).SerializeAsString() << run).run();
  Query answer(database_, "update commands set pending = 0, result = ? where id = ?");
  for (const Effects::Answer& answered : effects.answers)
    (answer << answered.result.SerializeAsString() << answered.id).run();
  Query add_event(database_, "insert into events values(null, ?, ?, ?, ?, ?) returning seq");
  for (Event& event : effects.events) {
    add_event << event.time() << event.run() << event.generation() << event.kind() << event.text();
    if (add_event.next()) event.set_seq(static_cast<uint64_t>(add_event.integer(0)));
    add_event.run();
  }
  transaction.commit();
}

std::vector<RunView> Store::runs() {
  std::vector<RunView> runs;
  Query rows(database_, "select view from runs where view != ''");
  while (rows.next()) runs.emplace_back().ParseFromString(rows.text(0));
  return runs;
}

RunSpec Store::spec(const std::string& run) {
  Query rows(database_, "select spec from runs where name = ?");
  rows << run;
  require(rows.next(), "the store has no run '{}'", run);
  RunSpec spec;
  spec.ParseFromString(rows.text(0));
  return spec;
}

std::optional<std::string> Store::submitted(const std::string& id) {
  Query rows(database_, "select name from runs where submission = ?");
  rows << id;
  return rows.next() ? std::optional(rows.text(0)) : std::nullopt;
}

std::optional<CommandResult> Store::result(const std::string& id) {
  Query rows(database_, "select result from commands where id = ?");
  rows << id;
  if (!rows.next()) return std::nullopt;
  CommandResult result;
  result.ParseFromString(rows.text(0));
  return result;
}

std::vector<CommandRequest> Store::pending(const std::string& run) {
  std::vector<CommandRequest> requests;
  Query rows(database_, "select request from commands where pending and run = ? order by rowid");
  rows << run;
  while (rows.next()) requests.emplace_back().ParseFromString(rows.text(0));
  return requests;
}

EventList Store::events(uint64_t after, const std::string& run, int64_t most) {
  Query rows(database_,
             "select seq, time, run, generation, kind, text from events"
             " where seq > ?1 and (?2 = '' or run = ?2) order by seq limit ?3");
  rows << after << run << most;
  return read_events(rows);
}

std::vector<StateChange> Store::state_changes(const std::string& run) {
  std::vector<StateChange> changes;
  Query rows(database_,
             "select time, text from events where run = ? and kind = 'state' order by seq");
  rows << run;
  while (rows.next()) {
    const std::string text = rows.text(1);  // "recovering: rank 3 ..."
    for (int state = 0; state < RunView::State_ARRAYSIZE; ++state)
      if (text.substr(0, text.find(':')) == to_string(static_cast<RunView::State>(state)))
        changes.push_back({rows.real(0), static_cast<RunView::State>(state)});
  }
  return changes;
}

void Store::set_verdict(const std::string& checkpoint, const std::string& verdict) {
  (Query(database_, "insert or replace into verdicts values(?, ?)") << checkpoint << verdict).run();
}

std::string Store::verdict(const std::string& checkpoint) {
  Query rows(database_, "select verdict from verdicts where checkpoint = ?");
  rows << checkpoint;
  return rows.next() ? rows.text(0) : "";
}

EventList Store::newest_events(const std::string& run, int64_t most) {
  Query rows(database_,
             "select seq, time, run, generation, kind, text from events"
             " where ?1 = '' or run = ?1 order by seq desc limit ?2");
  rows << run << most;
  EventList list = read_events(rows);
  std::reverse(list.mutable_events()->begin(), list.mutable_events()->end());
  return list;
}

}  // namespace katman
