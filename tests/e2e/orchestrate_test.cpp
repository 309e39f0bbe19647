// The orchestrator with real processes: submit, command, kill what can be killed.
#include <gtest/gtest.h>
#include <httplib.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "orchestrator/control/client.h"
#include "tests/support/small_run.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;

const SmallRun& small_run() {
  static const SmallRun run;
  return run;
}

// An orchestrator with a directory of its own. Its runs are ended with it.
class Service {
 public:
  explicit Service(const std::string& name) : data_(small_run().path(name)) { start(); }
  ~Service() {
    const RunList runs = client().list();
    for (const RunView& run : runs.runs())
      if (run.live()) command(run.name(), KILL_RUN);
  }

  // Returns when it listens. The second time on the port of the first.
  void start() {
    log_ = data_ + "-" + std::to_string(++starts_) + ".log";
    process_ = std::make_unique<Process>(
        std::vector<std::string>{katman(), "orchestrate", "--data", data_, "--listen", address_,
                                 "--slots=2", "--dashboard=127.0.0.1:0"},
        log_);
    eventually("it listens", [&] {
      const std::string log = read_file(log_);
      const size_t at = log.find("--to ");
      if (at == std::string::npos) return false;
      address_ = log.substr(at + 5, log.find('\n', at) - at - 5);
      return log.find('\n', at) != std::string::npos;
    });
  }
  Process& process() { return *process_; }
  Client client() const { return Client(address_); }
  httplib::Client browser() const {
    const std::string before = "dashboard: http://", text = log();
    const size_t at = text.find(before) + before.size();
    return httplib::Client("http://" + text.substr(at, text.find('/', at) - at));
  }

  void submit(const std::string& name, std::vector<std::string> sets = {}) const {
    std::vector<std::string> words = {
        katman(),       "submit", small_run().path("run.textproto"),    "--to", address_, "--set",
        "name=" + name, "--set",  "data.corpus=" + small_run().corpus()};
    for (const std::string& assignment : sets) words.insert(words.end(), {"--set", assignment});
    const Result result = run(words);
    ASSERT_EQ(result.status, 0) << result.output;
  }

  // Until it is done.
  CommandResult command(const std::string& run, Verb verb) const {
    CommandRequest request;
    request.set_id(new_id());
    request.set_run(run);
    request.set_verb(verb);
    CommandResult result;
    eventually("the command is done", [&] {
      result = client().command(request);
      return result.outcome() != CommandResult::PENDING;
    });
    return result;
  }

  RunView wait_for(const std::string& run, RunView::State state, uint64_t step = 0) const {
    RunView view;
    eventually("the run is in the state " + std::to_string(state), [&] {
      view = client().show(run);
      return view.state() == state && view.step() >= step;
    });
    return view;
  }

  // The processes of a rank: pids whose command line says "katman worker" and the run.
  std::vector<pid_t> workers(const std::string& run) const {
    std::vector<pid_t> pids;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream in(entry.path() / "cmdline", std::ios::binary);
      std::stringstream line;
      line << in.rdbuf();
      const std::string words = line.str();
      if (words.starts_with(katman()) &&
          words.find("runs/" + run + "/run.textproto") != std::string::npos &&
          words.find(data_) != std::string::npos)
        pids.push_back(std::stoi(entry.path().filename()));
    }
    return pids;
  }

  std::string directory(const std::string& run) const {
    return fs::path(data_).filename().string() + "/runs/" + run;
  }
  std::string log() const { return read_file(log_); }

  template <class Condition>
  void eventually(const std::string& what, Condition condition) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      require(std::chrono::steady_clock::now() < end, "not within a minute: {}\n{}", what, log());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

 private:
  std::string data_, log_, address_ = "127.0.0.1:0";
  int starts_ = 0;
  std::unique_ptr<Process> process_;
};

void expect_same_training(const std::string& a, const std::string& b) {
  EXPECT_EQ(small_run().losses(a), small_run().losses(b));
  EXPECT_EQ(small_run().newest_checkpoint(a), small_run().newest_checkpoint(b));
}

TEST(Orchestrate, killed_workers_and_a_killed_orchestrator_change_nothing_about_the_result) {
  const std::vector<std::string> sets = {"steps=150", "checkpoint.every_steps=10"};
  ASSERT_EQ(small_run().train("undisturbed", sets).status, 0);
  Service service("kills");
  service.submit("a", sets);
  for (int kill = 0; kill < 2; ++kill) {
    const RunView view = service.wait_for("a", RunView::RUNNING, kill ? 30 : 1);
    const auto workers = service.workers("a");
    ASSERT_EQ(workers.size(), 1u);
    ::kill(workers[0], SIGKILL);
    service.eventually("it is started again",
                       [&] { return service.client().show("a").generation() > view.generation(); });
  }
  service.wait_for("a", RunView::RUNNING, 50);
  service.process().signal(SIGKILL);
  service.process().wait();
  ASSERT_EQ(service.workers("a").size(), 1u) << "training does not need an orchestrator";
  service.start();
  const RunView done = service.wait_for("a", RunView::COMPLETED);
  EXPECT_EQ(done.generation(), 3u) << "the one that went on was found again";
  EXPECT_EQ(done.restarts(), 2u);
  expect_same_training("undisturbed", service.directory("a"));

  SeriesRequest request;
  request.set_run("a");
  request.set_name("loss");
  std::map<uint64_t, double> counting;
  const SeriesReply series = service.client().series(request);
  for (const SeriesPoint& point : series.points())
    if (!point.discarded()) {
      EXPECT_TRUE(counting.emplace(point.step(), point.mean()).second) << point.step();
    }
  EXPECT_EQ(counting.size(), 150u) << "no figure is missing";
}

TEST(Orchestrate, two_ranks_survive_the_death_of_either_and_of_mpirun) {
  Service service("ranks");
  service.submit("a", {"steps=100000", "mesh.dp=2", "checkpoint.every_steps=5"});
  for (const int victim : {0, 1}) {
    const RunView view = service.wait_for("a", RunView::RUNNING, 1);
    const auto workers = service.workers("a");
    ASSERT_EQ(workers.size(), 2u);
    ::kill(workers[static_cast<size_t>(victim)], SIGKILL);
    service.eventually("it is started again",
                       [&] { return service.client().show("a").generation() > view.generation(); });
  }
  service.wait_for("a", RunView::RUNNING, 1);
  EXPECT_EQ(service.command("a", KILL_RUN).outcome(), CommandResult::DONE);
  EXPECT_TRUE(service.workers("a").empty()) << "ranks end with the mpirun that started them";
}

TEST(Orchestrate, every_command_does_what_it_says) {
  Service service("commands");
  service.submit("a", {"steps=100000", "checkpoint.every_steps=100000"});
  service.wait_for("a", RunView::RUNNING, 2);
  const CommandResult saved = service.command("a", CHECKPOINT_NOW);
  EXPECT_EQ(saved.outcome(), CommandResult::DONE) << saved.text();
  EXPECT_GT(service.client().show("a").committed(), 0u);

  EXPECT_EQ(service.command("a", PAUSE_RUN).outcome(), CommandResult::DONE);
  EXPECT_EQ(service.client().show("a").state(), RunView::PAUSED);
  EXPECT_TRUE(service.workers("a").empty());
  EXPECT_EQ(service.command("a", CHECKPOINT_NOW).outcome(), CommandResult::REFUSED);
  const uint64_t paused_at = service.client().show("a").committed();
  EXPECT_EQ(service.command("a", RESUME_RUN).outcome(), CommandResult::DONE);
  service.wait_for("a", RunView::RUNNING, paused_at + 1);
  EXPECT_EQ(service.command("a", RESTART_RUN).outcome(), CommandResult::DONE);
  EXPECT_EQ(service.wait_for("a", RunView::RUNNING).generation(), 3u);
  const CommandResult stopped = service.command("a", STOP_RUN);
  EXPECT_EQ(stopped.outcome(), CommandResult::DONE);
  EXPECT_EQ(stopped.run().state(), RunView::STOPPED);
  EXPECT_GT(stopped.run().committed(), paused_at);
  EXPECT_EQ(stopped.run().restarts(), 0u) << "none of this was an error";
}

constexpr const char* json_type = "application/json";

TEST(Dashboard, shows_and_commands_a_live_run) {
  const Service service("dashboard");
  httplib::Client browser = service.browser();
  EXPECT_NE(browser.Get("/")->body.find("<title>Katman</title>"), std::string::npos);
  service.submit("seen", {"steps=100000", "checkpoint.every_steps=20", "mesh.pp=2"});
  service.wait_for("seen", RunView::RUNNING, 30);
  const nlohmann::json command = {{"id", "1"}, {"run", "seen"}, {"verb", "STOP_RUN"}};
  nlohmann::json result;
  service.eventually("the page's command is done", [&] {
    result = nlohmann::json::parse(browser.Post("/api/command", command.dump(), json_type)->body);
    return result.at("outcome") != "PENDING";
  });
  EXPECT_EQ(result.at("outcome"), "DONE") << result;
  const RunView stopped = service.wait_for("seen", RunView::STOPPED);

  const auto get = [&](const char* path) { return nlohmann::json::parse(browser.Get(path)->body); };
  EXPECT_EQ(get("/api/runs").at("runs").at(0).at("state"), "STOPPED");
  const auto details = get("/api/run?run=seen");
  EXPECT_EQ(details.at("checkpoints").back().at("step"), std::to_string(stopped.step()));
  EXPECT_EQ(details.at("checkpoints").back().at("layout"), "tp=1 dp=1 pp=2");
  const auto loss = get("/api/series?run=seen&names=loss&points=100000").at("loss");
  const std::map<int64_t, double> losses = small_run().losses(service.directory("seen"));
  ASSERT_EQ(loss.at("step").size(), losses.size());
  for (size_t i = 0; i < losses.size(); ++i)
    EXPECT_EQ(loss.at("mean").at(i), losses.at(loss.at("step").at(i)));
  EXPECT_NE(
      browser.Get("/metrics")->body.find("katman_run_state{run=\"seen\",state=\"stopped\"} 1"),
      std::string::npos);
  EXPECT_EQ(browser.Get("/readyz")->status, 200);
}

TEST(Dashboard, sends_what_happens_as_it_happens) {
  const Service service("dashboard-events");
  service.submit("heard");
  service.wait_for("heard", RunView::COMPLETED);
  std::string text;
  service.browser().Get("/api/events", {{"Last-Event-ID", "1"}},
                        [&](const char* bytes, size_t count) {
                          text.append(bytes, count);
                          return text.find("event: runs") == std::string::npos;
                        });
  EXPECT_EQ(text.find("id: 1\n"), std::string::npos);  // that one is known
  EXPECT_NE(text.find("id: 2\n"), std::string::npos);
  EXPECT_NE(text.find("\"text\":\"completed\""), std::string::npos) << text;
}

TEST(Dashboard, what_cannot_be_is_refused_in_one_sentence) {
  const Service service("dashboard-refuses");
  httplib::Client browser = service.browser();
  const auto expect = [](const httplib::Result& reply, int status, const std::string& words) {
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, status) << reply->body;
    EXPECT_NE(reply->body.find(words), std::string::npos) << reply->body;
  };
  expect(browser.Get("/api/runs", {{"Host", "127.evil.example"}}), 403, "not answered");
  expect(browser.Get("/api/runs", {{"Origin", "http://evil.example"}}), 403, "not answered");
  expect(browser.Post("/api/command", "{}", "text/plain"), 403, "not answered");
  expect(browser.Post("/api/command", "{]", json_type), 400, "this is no CommandRequest");
  expect(browser.Post("/api/command", R"({"sudo": 1})", json_type), 400, "sudo");
  expect(browser.Post("/api/submit", R"({"id": "1", "run_file": "steps: -1"})", json_type), 400,
         "run file");
  expect(browser.Post("/api/submit", std::string(1 << 20, ' '), json_type), 413, "");
  expect(browser.Get("/api/run?run=none"), 400, "there is no run 'none'");
  expect(browser.Get("/api/series?run=none&names=loss&points=-1"), 400, "not a number");
  expect(browser.Get("/api/runs"), 200, "runs");
}

TEST(Orchestrate, what_cannot_be_is_refused_in_one_sentence) {
  Service service("refusals");
  const auto submission = [&](const std::string& run_file) {
    SubmitRequest request;
    request.set_id(new_id());
    request.set_run_file(run_file);
    try {
      service.client().submit(request);
    } catch (const UsageError& error) {
      return std::string(error.what());
    } catch (const Error& error) {
      return "error: " + std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string data =
      "data { corpus: \"" + small_run().corpus() + "\" } model { preset: \"tiny\" } ";
  const std::map<std::string, std::string> refusals = {
      {"name: \"x\" steps: 1 directory: \"/tmp/x\"", "leave directory out"},
      {"name: \"../x\" steps: 1", "name '../x'"},
      {"steps: 1", "does not name the run"},
      {"name: \"x\" stepps: 1", "stepps"},
      {"name: \"x\" steps: 1 mesh { dp: 3 }", "--slots=3"},
      {"name: \"x\" steps: 1 # " + std::string(100'000, 'x'), "are allowed"},
  };
  for (const auto& [text, sentence] : refusals)
    EXPECT_NE(submission(data + text).find(sentence), std::string::npos)
        << text.substr(0, 100) << ": " << submission(data + text);
  EXPECT_NE(submission("name: \"x\" steps: 1 data { corpus: \"/nowhere\" }").find("/nowhere"),
            std::string::npos);
  EXPECT_EQ(service.client().list().runs_size(), 0);

  const Result nobody = run({katman(), "runs", "list", "--to", "127.0.0.1:1"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_NE(nobody.output.find("no orchestrator answers at 127.0.0.1:1"), std::string::npos);
  const Result open =
      run({katman(), "orchestrate", "--listen", "0.0.0.0:0", "--data", small_run().path("open")});
  EXPECT_EQ(open.status, 2);
  EXPECT_NE(open.output.find("refusing to listen on 0.0.0.0:0"), std::string::npos);
  const Result second = run(
      {katman(), "orchestrate", "--listen", "127.0.0.1:0", "--data", small_run().path("refusals")});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.output.find("another orchestrator uses"), std::string::npos) << second.output;
}

}  // namespace
}  // namespace katman::testing
