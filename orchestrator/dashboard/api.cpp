#include "orchestrator/dashboard/api.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "orchestrator/control/clock.h"
#include "orchestrator/control/fork.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/dashboard/json.h"
#include "orchestrator/dashboard/views.h"
#include "orchestrator/eval/builtin.h"

namespace katman {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

// Texts of people and logs may hold anything.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

uint64_t number(const Parameters& parameters, const char* name, uint64_t otherwise = 0) {
  const std::string text = parameters(name);
  uint64_t value = otherwise;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require_usage(text.empty() || (error == std::errc() && end == text.data() + text.size()),
                "{} is '{}', not a number", name, text);
  return value;
}

json object(const std::string& body) {
  json value = json::parse(body, nullptr, false);
  require_usage(value.is_object(), "this is no JSON object");
  return value;
}

// The parameters of a body are the members of its object.
Parameters members(const json& body) {
  return [&body](const char* name) {
    const auto found = body.find(name);
    if (found == body.end()) return std::string();
    return found->is_string() ? found->get<std::string>() : found->dump();
  };
}

template <class Asked>
Asked signed_by(const std::string& who, Asked request) {
  if (!who.empty()) request.set_actor(who);
  return request;
}

// A run like another, under another name and layout.
SubmitRequest with_layout(const RunSpec& spec, const Parameters& wanted) {
  RunSpec changed = spec;
  changed.set_name(wanted("name").empty() ? spec.name() + "-fork" : wanted("name"));
  changed.clear_directory();
  MeshSpec& mesh = *changed.mutable_mesh();
  const auto axis = [&](const char* name, uint32_t now) {
    return static_cast<uint32_t>(number(wanted, name, now));
  };
  mesh.set_tp(axis("tp", mesh.tp()));
  mesh.set_dp(axis("dp", mesh.dp()));
  mesh.set_pp(axis("pp", mesh.pp()));
  if (const std::string schedule = wanted("schedule");
      !schedule.empty() && schedule != mesh.schedule()) {
    mesh.set_schedule(schedule);
    mesh.clear_chunks();
  }
  changed.mutable_device()->clear_threads();  // as many as the new ranks leave
  SubmitRequest request;
  request.set_id(wanted("id").empty() ? "preview" : wanted("id"));
  request.set_actor("dashboard");
  request.set_run_file(to_text(changed));
  return request;
}

// Of the questions of the playground, which are the same for everybody.
constexpr uint64_t shots_seed = 0;

}  // namespace

template <class Make>
std::string Api::Kept::within(double seconds, Make make) {
  const std::lock_guard lock(mutex);
  if (const double now = unix_now(); now - made_at >= seconds) {
    text = make();
    made_at = now;
  }
  return text;
}

Api::Api(Orchestrator& orchestrator)
    : orchestrator_(orchestrator),
      verifier_([this](const fs::path& directory, const auto& verdict) {
        orchestrator_.verified(directory, verdict);
      }) {}

std::string Api::runs() {
  return runs_.within(0.9, [this] { return to_json(orchestrator_.list()); });
}

std::string Api::details(const Parameters& wanted) {
  RunDetails details = orchestrator_.details(wanted("run"));
  const fs::path saved = fs::path(details.run().directory()) / "checkpoints";
  for (SavedCheckpoint& checkpoint : *details.mutable_checkpoints())
    if (const auto now = verifier_.progress(saved / checkpoint.directory()); !now.empty())
      checkpoint.set_verified(now);
  return to_json(details);
}

std::string Api::series(const Parameters& wanted) {
  constexpr size_t most_names = 24;
  json all = json::object();
  std::istringstream names(wanted("names"));
  for (std::string name; std::getline(names, name, ',');) {
    require_usage(all.size() < most_names, "at most {} series at once", most_names);
    SeriesRequest request;
    request.set_run(wanted("run"));
    request.set_name(name);
    request.set_from(number(wanted, "from"));
    request.set_to(number(wanted, "to"));
    request.set_most_points(static_cast<uint32_t>(number(wanted, "points")));
    all[name] = columns_of(orchestrator_.series(request));
  }
  return dump(all);
}

std::string Api::tasks(const Parameters&) {
  json names = json::array();
  for (const Task& task : tasks_named({"builtin:arithmetic", "builtin:words"}, shots_seed))
    names.push_back(task.name);
  return dump(names);
}

std::string Api::question(const Parameters& wanted) {
  const auto tasks = builtin_tasks("builtin:" + wanted("task"), shots_seed);
  const Task& task = tasks.front();
  const uint64_t index = number(wanted, "number") % task.examples.size();
  const auto shots = static_cast<int64_t>(std::min<uint64_t>(number(wanted, "shots"), 1000));
  return dump({{"text", context_of(task, index, shots, shots_seed)},
               {"answer", task.examples[index].answers.front()},
               {"tokens", task.tokens}});
}

std::string Api::sparks() {
  return sparks_.within(5, [this] {
    json all = json::object();
    const RunList list = orchestrator_.list();
    for (const RunView& run : list.runs()) {
      SeriesRequest request;
      request.set_run(run.name());
      request.set_name("loss");
      request.set_most_points(120);
      json& points = all[run.name()] = json::array();
      const SeriesReply loss = orchestrator_.series(request);
      for (const SeriesPoint& point : loss.points())
        if (!point.discarded() && std::isfinite(point.mean()))
          points.push_back(std::stod(fmt::format("{:.4g}", point.mean())));
    }
    return dump(all);
  });
}

std::string Api::logs(const Parameters& wanted) {
  LogsRequest request;
  request.set_run(wanted("run"));
  request.set_generation(number(wanted, "generation"));
  request.set_contains(wanted("contains"));
  request.set_most_bytes(static_cast<uint32_t>(number(wanted, "bytes")));
  return to_json(orchestrator_.logs(request));
}

std::string Api::timeline(const Parameters& wanted) {
  return dump(timeline_view(orchestrator_.spec(wanted("run"))));
}

std::string Api::ranks(const Parameters& wanted) {
  return dump(ranks_view(orchestrator_.spec(wanted("run"))));
}

std::string Api::batch(const Parameters& wanted) {
  return dump(batch_view(orchestrator_.spec(wanted("run")), number(wanted, "step"),
                         number(wanted, "first"), number(wanted, "count", 8)));
}

std::string Api::layout(const Parameters& wanted) {
  const RunSpec spec = orchestrator_.spec(wanted("run"));
  const RunView run = orchestrator_.show(wanted("run"));
  const uint64_t step = number(wanted, "step");
  json plan = plan_view(orchestrator_.check(with_layout(spec, wanted)));
  plan["from"] = checkpoint(wanted("run"), step).filename().string();
  plan["steps_behind"] = run.step() > step ? run.step() - step : 0;
  plan["slots"] = orchestrator_.list().slots();
  return dump(plan);
}

std::string Api::check(const std::string& body, const std::string&) {
  return dump(plan_view(orchestrator_.check(from_json<SubmitRequest>(body))));
}

std::string Api::submit(const std::string& body, const std::string& who) {
  return to_json(orchestrator_.submit(signed_by(who, from_json<SubmitRequest>(body))));
}

std::string Api::fork(const std::string& body, const std::string& who) {
  const json wanted = object(body);
  const Parameters parameters = members(wanted);
  require_usage(!parameters("id").empty() && !parameters("name").empty(),
                "a fork needs an id and a name");
  const RunSpec from = orchestrator_.spec(parameters("run"));
  return to_json(orchestrator_.fork(signed_by(who, with_layout(from, parameters)),
                                    parameters("run"),
                                    static_cast<int64_t>(number(parameters, "step"))));
}

std::string Api::command(const std::string& body, const std::string& who) {
  return to_json(orchestrator_.command(signed_by(who, from_json<CommandRequest>(body))));
}

fs::path Api::checkpoint(const std::string& run, uint64_t step) {
  const RunDetails details = orchestrator_.details(run);
  const auto found = std::ranges::find(details.checkpoints(), step, &SavedCheckpoint::step);
  require_usage(found != details.checkpoints().end(), "{} has no checkpoint of step {}", run, step);
  return fs::path(details.run().directory()) / "checkpoints" / found->directory();
}

std::string Api::verify(const std::string& body, const std::string&) {
  const json wanted = object(body);
  const fs::path directory = checkpoint(members(wanted)("run"), number(members(wanted), "step"));
  verifier_.ask(directory);
  return dump({{"verified", "waiting"}});
}

std::unique_ptr<Generation> Api::generate(const std::string& body) {
  const json wanted = object(body);
  return std::make_unique<Generation>(
      checkpoint(members(wanted)("run"), number(members(wanted), "step")), GenerateRequest(wanted),
      generations_);
}

}  // namespace katman
