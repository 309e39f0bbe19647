// What can go wrong with real processes, and that nothing of it shows in the result.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "orchestrator/control/clock.h"
#include "tests/support/service.h"

namespace katman::testing {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// 0 for a process that is gone.
pid_t parent_of(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(in, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string state;
  pid_t parent = 0;
  fields >> state >> parent;
  return parent;
}

// As on a disk that is full: no file of this process may grow any more, or again it may. The
// process may have ended already.
void let_files_grow(pid_t process, bool may) {
  const rlimit limit{may ? RLIM_INFINITY : 1, RLIM_INFINITY};
  ASSERT_TRUE(prlimit(process, RLIMIT_FSIZE, &limit, nullptr) == 0 || errno == ESRCH);
}

nlohmann::json sample_digest(const std::string& directory) {
  const Result result =
      run({katman(), "checkpoint", "inspect", "--json", small_run().path(directory)});
  return nlohmann::json::parse(result.output).at("counters").at("sample_digest");
}

TEST(Faults, a_rank_that_stands_still_is_named_and_replaced) {
  Service service("still", {"--silent-after=8"});
  service.submit("a", {"steps=1000000", "mesh.dp=2", "checkpoint.every_steps=20"});
  service.wait_for("a", RunView::RUNNING, 20);
  service.eventually("both ranks have said who they are",
                     [&] { return service.client().details("a").ranks_size() == 2; });
  const pid_t victim = service.workers("a").at(1);
  ::kill(victim, SIGSTOP);
  const auto begin = Clock::now();
  RunView view;
  service.eventually("it is noticed", [&] {
    view = service.client().show("a");
    return view.state() == RunView::RECOVERING || view.generation() > 1;
  });
  std::cout << "a rank that stands still was noticed after " << seconds_since(begin) << " s\n";
  service.wait_for_restart("a", 1);
  std::string killed;
  WatchRequest all;
  all.set_run("a");
  service.client().watch(all, [&](const Event& event) {
    if (event.kind() == "kill") killed = event.text();
    return event.kind() != "kill";
  });
  EXPECT_NE(killed.find(fmt::format("process {}", victim)), std::string::npos) << killed;
  EXPECT_NE(killed.find("rank 0 waits for"), std::string::npos) << killed;
}

// Its log cannot grow either, so that all one learns is that it ended with an error.
TEST(Faults, a_rank_on_a_full_disk_ends_and_the_run_goes_on_when_there_is_room) {
  Service service("full");
  service.submit("a", {"steps=1000000", "checkpoint.every_steps=20"});
  const RunView view = service.wait_for("a", RunView::RUNNING, 20);
  let_files_grow(service.workers("a").at(0), false);
  service.wait_for_restart("a", view.generation());
  std::string why;
  WatchRequest all;
  all.set_run("a");
  service.client().watch(all, [&](const Event& event) {
    if (event.text().find("recovering") == 0) why = event.text();
    return why.empty();
  });
  EXPECT_NE(why.find("exit status 1"), std::string::npos) << why;
}

TEST(Faults, saves_that_fail_are_told_while_training_goes_on) {
  Service service("unsaved");
  service.submit("a", {"steps=1000000", "checkpoint.every_steps=500"});
  service.wait_for("a", RunView::RUNNING, 1);
  // Files where the directories of the next checkpoints would be, for as long as it takes to look.
  std::vector<std::string> in_the_way;
  for (int step = 500; step <= 50000; step += 500)
    in_the_way.push_back(small_run().path(service.directory("a")) +
                         fmt::format("/checkpoints/step-{:08}.g1", step));
  for (const std::string& file : in_the_way) std::ofstream(file) << "no directory";
  service.eventually("it is told", [&] { return !service.client().show("a").unsaved().empty(); });
  const RunView unsaved = service.client().show("a");
  EXPECT_TRUE(unsaved.unsaved().starts_with("the checkpoint of step ")) << unsaved.unsaved();
  const Result shown = run({katman(), "runs", "show", "a", "--to=" + service.reach().address});
  EXPECT_NE(shown.output.find("warning: the checkpoint of step"), std::string::npos)
      << shown.output;
  for (const std::string& file : in_the_way)
    if (std::filesystem::is_regular_file(file)) std::filesystem::remove(file);
  service.eventually("it is over", [&] { return service.client().show("a").unsaved().empty(); });
  service.eventually("the newer checkpoint is seen",
                     [&] { return service.client().show("a").committed() > unsaved.committed(); });
  EXPECT_EQ(service.client().show("a").restarts(), 0u);
}

TEST(Faults, a_rank_that_wakes_up_after_its_successor_has_finished_changes_nothing) {
  const std::string run_file = small_run().path("asleep.textproto");
  const auto write_run_file = [&](size_t steps) {
    auto words = small_run().command("asleep", {fmt::format("steps={}", steps)});
    words.emplace_back("--check");
    std::ofstream(run_file) << run(words).output;
  };
  write_run_file(1'000'000);
  Process sleeper({katman(), "worker", run_file}, small_run().path("asleep.log"));
  eventually("it trains", [] { return small_run().losses("asleep").size() >= 30; });
  sleeper.signal(SIGSTOP);
  write_run_file(small_run().losses("asleep").size() + 20);
  const Result next = run({katman(), "worker", run_file});
  ASSERT_EQ(next.status, 0) << next.output;
  const auto before = small_run().newest_checkpoint("asleep");
  const std::string figures = read_file(small_run().path("asleep/metrics.jsonl"));
  sleeper.signal(SIGCONT);
  EXPECT_EQ(sleeper.wait(), 1);
  EXPECT_NE(read_file(small_run().path("asleep.log")).find("may not write"), std::string::npos);
  EXPECT_EQ(small_run().newest_checkpoint("asleep"), before);
  EXPECT_EQ(read_file(small_run().path("asleep/metrics.jsonl")), figures);
}

// How long each step took that ended in [begin, end), unix seconds; sorted.
std::vector<double> step_seconds(const std::string& directory, double begin, double end) {
  std::vector<double> seconds;
  std::istringstream lines(read_file(small_run().path(directory) + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (!record.is_object() || !record.contains("seconds")) continue;
    if (record["time"] >= begin && record["time"] < end) seconds.push_back(record["seconds"]);
  }
  std::ranges::sort(seconds);
  return seconds;
}

// KATMAN_AWAY_S=60 for a whole minute, with as much before it to compare with.
TEST(Faults, an_orchestrator_that_is_away_holds_up_no_step_and_misses_no_figure) {
  const char* wanted = std::getenv("KATMAN_AWAY_S");
  const std::chrono::duration<double> away(wanted ? std::atof(wanted) : 3);
  Service service("away");
  service.submit("a", {"steps=1000000", "checkpoint.every_steps=1000"});
  service.wait_for("a", RunView::RUNNING, 10);
  const double begin = unix_now();
  std::this_thread::sleep_for(away);
  service.process().signal(SIGSTOP);
  const double left = unix_now();
  std::this_thread::sleep_for(away);
  const double back = unix_now();
  const auto before = step_seconds(service.directory("a"), begin, left),
             during = step_seconds(service.directory("a"), left, back);
  const size_t done = small_run().losses(service.directory("a")).size();
  service.eventually("training goes on to the last",
                     [&] { return small_run().losses(service.directory("a")).size() > done; });
  service.process().signal(SIGCONT);
  ASSERT_FALSE(before.empty());
  ASSERT_FALSE(during.empty());
  const auto at = [](const std::vector<double>& sorted, double part) {
    return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
  };
  std::cout << "with and without an orchestrator for " << away.count() << " s: " << before.size()
            << " and " << during.size() << " steps, medians in the ratio "
            << at(during, 0.5) / at(before, 0.5) << ", 99th percentiles "
            << at(during, 0.99) / at(before, 0.99) << "\n";
  EXPECT_EQ(service.command("a", STOP_RUN).outcome(), CommandResult::DONE);
  const RunView view = service.client().show("a");
  EXPECT_EQ(view.restarts(), 0u) << "its own absence is nobody's fault";
  for (const char* name : {"loss", "grad_norm", "learning_rate", "seconds", "tokens_seen"})
    expect_every_step_once(service, "a", view.committed(), name);
}

// Faults one after the other, each once the run has got further than before the last one.
class Soak {
 public:
  Soak(int faults, unsigned seed) : faults_(faults), random_(seed) {}

  void run() {
    service_.submit("a", sets());
    for (int i = 0; i < faults_; ++i) {
      wait_until_it_gets_further();
      happen();
    }
    // Or what it did since its last checkpoint would neither count nor be done again.
    wait_until_it_gets_further();
    const CommandResult stopped = service_.command("a", STOP_RUN);
    EXPECT_EQ(stopped.outcome(), CommandResult::DONE) << stopped.text();
    const RunView done = view();
    steps_ = done.committed();
    std::cout << faults_ << " faults in " << steps_ << " steps, " << done.restarts()
              << " restarts, " << done.generation() << " generations; a crash was noticed after "
              << mean(noticed_) << " s (at most " << worst(noticed_) << "), training went on after "
              << mean(back_) << " s (at most " << worst(back_) << ")\n";
  }

  std::vector<std::string> sets() const {
    return {"steps=" + std::to_string(steps_), "mesh.dp=2", "checkpoint.every_steps=10",
            SmallRun::any_length};
  }
  uint64_t steps() const { return steps_; }
  Service& service() { return service_; }

 private:
  RunView view() const { return service_.client().show("a"); }

  void wait_until_it_gets_further() {
    service_.eventually("it gets further", [&] {
      return view().state() == RunView::RUNNING && view().committed() > reached_ &&
             service_.workers("a").size() == 2;
    });
    reached_ = view().committed();
  }

  void happen() {
    const auto workers = service_.workers("a");
    if (workers.size() != 2) return;
    const int kind = static_cast<int>(random_() % 6);
    const pid_t worker = workers[random_() % 2];
    SCOPED_TRACE(kind);
    if (kind <= 1) return crash(worker);
    if (kind == 2) return crash(parent_of(worker));  // mpirun
    if (kind == 3) {  // where rank 0 cannot write, it ends; others miss a checkpoint
      let_files_grow(worker, false);
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      return let_files_grow(worker, true);
    }
    if (kind == 4) {  // it comes back before anybody minds
      ::kill(worker, SIGSTOP);
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      ::kill(worker, SIGCONT);
      return;
    }
    service_.process().signal(SIGKILL);
    service_.process().wait();
    if (random_() % 2) ::kill(worker, SIGKILL);  // while nobody looks
    service_.start();
  }

  void crash(pid_t process) {
    if (process <= 1) return;  // an earlier fault was quicker: 0 would be all of this test
    const uint64_t generation = view().generation();
    const auto begin = Clock::now();
    ::kill(process, SIGKILL);
    service_.eventually("it is noticed", [&] {
      return view().state() != RunView::RUNNING || view().generation() > generation;
    });
    noticed_.push_back(seconds_since(begin));
    service_.eventually("it goes on", [&] {
      return view().generation() > generation && view().state() == RunView::RUNNING;
    });
    back_.push_back(seconds_since(begin));
  }

  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
  }
  static double worst(const std::vector<double>& values) {
    return values.empty() ? 0 : *std::ranges::max_element(values);
  }

  const int faults_;
  std::mt19937 random_;
  Service service_{"soak"};
  uint64_t steps_ = 1'000'000, reached_ = 0;
  std::vector<double> noticed_, back_;
};

// KATMAN_FAULTS=100 for a long one, KATMAN_SEED for another order.
TEST(Faults, after_many_at_random_the_weights_are_those_of_an_undisturbed_run) {
  const char* faults = std::getenv("KATMAN_FAULTS");
  const char* seed = std::getenv("KATMAN_SEED");
  Soak soak(faults ? std::atoi(faults) : 10, seed ? static_cast<unsigned>(std::atoi(seed)) : 1);
  soak.run();
  ASSERT_EQ(small_run().train("untouched", soak.sets()).status, 0);
  const std::string faulty = soak.service().directory("a");
  expect_same_training("untouched", faulty);
  EXPECT_EQ(sample_digest("untouched"), sample_digest(faulty));
  expect_every_step_once(soak.service(), "a", soak.steps());
}

}  // namespace
}  // namespace katman::testing
