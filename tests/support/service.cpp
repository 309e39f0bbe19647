#include "tests/support/service.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace katman::testing {
namespace fs = std::filesystem;

const SmallRun& small_run() {
  static const SmallRun run;
  return run;
}

Service::Service(const std::string& name, std::vector<std::string> options, Reach reach)
    : data_(small_run().path(name)), options_(std::move(options)), reach_(std::move(reach)) {
  if (reach_.address.empty()) reach_.address = "127.0.0.1:0";
  start();
}

Service::~Service() {
  try {
    const RunList runs = client().list();
    for (const RunView& run : runs.runs())
      if (run.live()) command(run.name(), KILL_RUN);
  } catch (const Error& error) {
    ADD_FAILURE() << "runs may have been left behind: " << error.what();
  }
}

void Service::start() {
  log_ = data_ + "-" + std::to_string(++starts_) + ".log";
  std::vector<std::string> words = {katman(),
                                    "orchestrate",
                                    "--data",
                                    data_,
                                    "--listen",
                                    reach_.address,
                                    "--dashboard=127.0.0.1:0"};
  if (std::ranges::none_of(options_, [](const auto& word) { return word.starts_with("--slots"); }))
    words.emplace_back("--slots=2");
  words.insert(words.end(), options_.begin(), options_.end());
  process_ = std::make_unique<Process>(words, log_);
  eventually("it listens", [&] {
    const std::string log = read_file(log_);
    const size_t at = log.find("--to ");
    if (at == std::string::npos) return false;
    reach_.address = log.substr(at + 5, log.find('\n', at) - at - 5);
    if (reach_.address.starts_with("0.0.0.0:")) reach_.address.replace(0, 7, "localhost");
    return log.find('\n', at) != std::string::npos;
  });
}

std::string Service::dashboard() const {
  const std::string before = "dashboard: ", text = log();
  const size_t at = text.find(before) + before.size();
  return text.substr(at, text.find_first_of("/\n", at + 8) - at);
}

void Service::submit(const std::string& name, const std::vector<std::string>& sets) const {
  std::vector<std::string> words = {
      katman(),       "submit",       small_run().path("run.textproto"),
      "--to",         reach_.address, "--set",
      "name=" + name, "--set",        "data.corpus=" + small_run().corpus()};
  if (!reach_.token_file.empty()) words.insert(words.end(), {"--token-file", reach_.token_file});
  if (!reach_.ca_file.empty()) words.insert(words.end(), {"--ca", reach_.ca_file});
  for (const std::string& assignment : sets) words.insert(words.end(), {"--set", assignment});
  const Result result = run(words);
  ASSERT_EQ(result.status, 0) << result.output;
}

CommandResult Service::command(const std::string& run, Verb verb) const {
  CommandRequest request;
  request.set_run(run);
  request.set_verb(verb);
  return command(request);
}

CommandResult Service::command(CommandRequest request) const {
  request.set_id(new_id());
  CommandResult result;
  eventually("the command is done", [&] {
    result = client().command(request);
    return result.outcome() != CommandResult::PENDING;
  });
  return result;
}

RunView Service::wait_for(const std::string& run, RunView::State state, uint64_t step) const {
  RunView view;
  eventually("the run is in the state " + std::to_string(state), [&] {
    view = client().show(run);
    return view.state() == state && view.step() >= step;
  });
  return view;
}

RunView Service::wait_for_restart(const std::string& run, uint64_t generation) const {
  RunView view;
  eventually("it is started again", [&] {
    view = client().show(run);
    return view.generation() > generation && view.state() == RunView::RUNNING;
  });
  return view;
}

std::vector<pid_t> Service::workers(const std::string& run) const {
  return katman_processes(data_ + "/runs/" + run + "/logs/");
}

std::string Service::directory(const std::string& run) const {
  return fs::path(data_).filename().string() + "/runs/" + run;
}

std::string Service::log() const { return read_file(log_); }

void expect_same_training(const std::string& undisturbed, const std::string& disturbed) {
  const auto want = small_run().losses(undisturbed);
  auto got = small_run().losses(disturbed);
  // What an earlier generation did beyond the end is no part of the run.
  got.erase(got.lower_bound(static_cast<int64_t>(want.size())), got.end());
  EXPECT_EQ(want, got);
  EXPECT_EQ(small_run().newest_checkpoint(undisturbed), small_run().newest_checkpoint(disturbed));
}

void expect_every_step_once(const Service& service, const std::string& run, uint64_t steps,
                            const std::string& name) {
  constexpr uint64_t at_a_time = 50'000;  // with room for as many that were done again
  SeriesRequest request;
  request.set_run(run);
  request.set_name(name);
  request.set_most_points(2 * at_a_time);
  std::map<uint64_t, int> counting;
  for (uint64_t from = 0; from <= steps; from += at_a_time) {
    request.set_from(from);
    request.set_to(from + at_a_time);
    const SeriesReply series = service.client().series(request);
    for (const SeriesPoint& point : series.points())
      if (!point.discarded()) ++counting[point.step()];
  }
  EXPECT_EQ(counting.size(), steps) << "a figure of " << name << " is missing";
  for (const auto& [step, times] : counting) EXPECT_EQ(times, 1) << "step " << step;
}

}  // namespace katman::testing
