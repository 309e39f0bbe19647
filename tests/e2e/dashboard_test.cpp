// The dashboard as programs see it: what it answers on live runs, and what it refuses.
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/service.h"

namespace katman::testing {
namespace {

constexpr const char* json_type = "application/json";

TEST(Dashboard, shows_and_commands_a_live_run) {
  const Service service("dashboard");
  httplib::Client browser(service.dashboard());
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
  httplib::Client(service.dashboard())
      .Get("/api/events", {{"Last-Event-ID", "1"}}, [&](const char* bytes, size_t count) {
        text.append(bytes, count);
        return text.find("event: runs") == std::string::npos;
      });
  EXPECT_EQ(text.find("id: 1\n"), std::string::npos);  // that one is known
  EXPECT_NE(text.find("id: 2\n"), std::string::npos);
  EXPECT_NE(text.find("\"text\":\"completed\""), std::string::npos) << text;
}

TEST(Dashboard, what_cannot_be_is_refused_in_one_sentence) {
  const Service service("dashboard-refuses");
  httplib::Client browser(service.dashboard());
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

TEST(Dashboard, of_two_people_who_press_opposite_buttons_the_second_is_told) {
  const Service service("dashboard-two");
  service.submit("contested", {"steps=100000"});
  const RunView seen = service.wait_for("contested", RunView::RUNNING, 1);
  httplib::Client ada(service.dashboard()), grace(service.dashboard());
  const auto press = [&](httplib::Client& browser, const char* who, const char* verb) {
    const nlohmann::json command = {{"id", std::string(who) + verb},
                                    {"run", "contested"},
                                    {"verb", verb},
                                    {"expected_version", seen.version()},
                                    {"actor", who}};
    return nlohmann::json::parse(browser.Post("/api/command", command.dump(), json_type)->body);
  };
  EXPECT_EQ(press(ada, "ada", "PAUSE_RUN").at("outcome"), "PENDING");
  const nlohmann::json late = press(grace, "grace", "RESTART_RUN");
  EXPECT_EQ(late.at("outcome"), "REFUSED") << late;
  EXPECT_NE(late.at("text").get<std::string>().find("changed in the meantime"), std::string::npos);
  service.wait_for("contested", RunView::PAUSED);
  EXPECT_EQ(press(ada, "ada", "PAUSE_RUN").at("outcome"), "DONE") << "asked again, answered again";
}

TEST(Dashboard, a_checkpoint_goes_on_as_another_run_under_another_layout) {
  const Service service("dashboard-fork");
  service.submit("first", {"steps=12", "checkpoint.every_steps=6", "device.threads=1"});
  service.wait_for("first", RunView::COMPLETED);
  httplib::Client browser(service.dashboard());
  const auto plan = nlohmann::json::parse(
      browser.Get("/api/layout?run=first&step=6&name=second&tp=2&dp=1&pp=1")->body);
  EXPECT_EQ(plan.at("ranks"), 2) << plan;
  EXPECT_EQ(plan.at("steps_behind"), 6);
  const nlohmann::json wanted = {{"id", "1"}, {"run", "first"}, {"step", 6}, {"name", "second"},
                                 {"tp", 2},   {"dp", 1},        {"pp", 1}};
  const auto post = [&] { return browser.Post("/api/fork", wanted.dump(), json_type); };
  EXPECT_EQ(post()->status, 200);
  service.wait_for("second", RunView::COMPLETED);
  EXPECT_EQ(post()->status, 200) << "asked again, answered again";
  const auto before = small_run().losses(service.directory("first"));
  const auto after = small_run().losses(service.directory("second"));
  ASSERT_EQ(after.size(), 6u);
  EXPECT_EQ(after.begin()->first, 6);
  for (const auto& [step, loss] : after) EXPECT_NEAR(loss, before.at(step), 2e-2) << step;
  nlohmann::json other = wanted;
  other["id"] = "2";
  EXPECT_NE(browser.Post("/api/fork", other.dump(), json_type)->body.find("second"),
            std::string::npos);
  EXPECT_EQ(small_run().losses(service.directory("second")).size(), 6u) << "nobody removed it";
}

TEST(Dashboard, shows_where_the_time_went_what_ranks_did_and_what_a_step_read) {
  const Service service("dashboard-views");
  service.submit("seen", {"steps=12", "mesh.dp=2", "device.threads=1"});
  service.wait_for("seen", RunView::COMPLETED);
  httplib::Client browser(service.dashboard());
  const auto get = [&](const char* path) { return nlohmann::json::parse(browser.Get(path)->body); };
  double all = 0;
  std::map<std::string, double> spent;
  const auto run = get("/api/run?run=seen");
  for (const auto& share : run.at("time_spent"))
    all += spent[share.at("what")] = share.at("seconds");
  for (const char* what : {"productive", "checkpointing", "validating"})
    ASSERT_TRUE(spent.contains(what)) << what << run.at("time_spent");
  EXPECT_GT(spent.at("productive"), 0);
  EXPECT_GT(spent.at("checkpointing"), 0);
  EXPECT_GT(spent.at("validating"), 0);
  EXPECT_LT(all, 60);
  const auto ranks = get("/api/ranks?run=seen");
  ASSERT_EQ(ranks.at("ranks").size(), 2u);
  for (const auto& rank : ranks.at("ranks")) {
    EXPECT_GT(rank.at("busy_s"), 0);
    EXPECT_LT(rank.at("wait_s"), rank.at("step_s"));
    EXPECT_GT(rank.at("resident_bytes"), 1e6);
  }
  const auto timeline = get("/api/timeline?run=seen");
  EXPECT_EQ(timeline.at("ranks").at(0).at(0).at(0), "F");
  EXPECT_EQ(timeline.at("theory"), 0);
  const auto batch = get("/api/batch?run=seen&step=3&first=1&count=2");
  EXPECT_EQ(batch.at("batch"), 8);
  ASSERT_EQ(batch.at("samples").size(), 2u);
  EXPECT_EQ(batch.at("samples").at(0).at("index"), 3 * 8 + 1);
  EXPECT_EQ(batch.at("sources"), true);
  int tokens = 0;
  for (const auto& piece : batch.at("samples").at(0).at("documents")) {
    tokens += piece.at("tokens").get<int>();
    EXPECT_TRUE(piece.at("source").get<std::string>().starts_with("pages.jsonl:")) << piece;
  }
  EXPECT_EQ(tokens, 32);
  EXPECT_EQ(browser.Get("/api/batch?run=seen&step=12")->status, 400);
  const Result shown =
      testing::run({katman(), "data", "show", "--run", small_run().path(service.directory("seen")),
                    "--samples", "25-26", "--json"});
  std::string lines;
  for (const auto& sample : batch.at("samples")) lines += sample.dump() + "\n";
  EXPECT_EQ(shown.output, lines) << "the command line says the same";
}

// A file of one viewer's and one operator's token.
std::string tokens_file() {
  const std::string file = small_run().path("dashboard.tokens");
  std::ofstream(file) << "viewer ada 0123456789abcdef0123\noperator grace fedcba98765432100123\n";
  chmod(file.c_str(), 0600);
  return file;
}

TEST(Dashboard, where_tokens_are_known_a_viewer_sees_and_an_operator_commands) {
  const Service service("dashboard-tokens", {"--tokens", tokens_file()},
                        {"127.0.0.1:0", [] {
                           const std::string file = small_run().path("grace.dashboard.token");
                           std::ofstream(file) << "fedcba98765432100123";
                           chmod(file.c_str(), 0600);
                           return file;
                         }()});
  httplib::Client browser(service.dashboard());
  for (const char* open : {"/", "/main.js", "/style.css", "/healthz", "/readyz"})
    EXPECT_EQ(browser.Get(open)->status, 200) << open;
  for (const char* guarded : {"/api/runs", "/api/run?run=a", "/metrics", "/api/events", "/nothing"})
    EXPECT_EQ(browser.Get(guarded)->status, 401) << guarded;
  const httplib::Headers viewer = {{"Authorization", "Bearer 0123456789abcdef0123"}};
  const httplib::Headers wrong = {{"Authorization", "Bearer 0123456789abcdef0124"}};
  const std::string command = R"({"id": "1", "run": "a", "verb": "STOP_RUN", "actor": "nobody"})";
  EXPECT_EQ(browser.Get("/api/runs", wrong)->status, 401);
  EXPECT_EQ(browser.Get("/api/runs", viewer)->status, 200);
  EXPECT_EQ(browser.Get("/metrics", viewer)->status, 200);
  EXPECT_EQ(browser.Post("/api/command", viewer, command, json_type)->status, 403);
  EXPECT_EQ(browser.Post("/api/login", R"({"token": "wrong"})", json_type)->status, 400);

  const auto logged_in =
      browser.Post("/api/login", R"({"token": "fedcba98765432100123"})", json_type);
  const std::string cookie = logged_in->get_header_value("Set-Cookie");
  EXPECT_NE(cookie.find("HttpOnly; SameSite=Strict"), std::string::npos) << cookie;
  const httplib::Headers boss = {{"Cookie", cookie.substr(0, cookie.find(';'))}};
  service.submit("a", {"steps=100000"});
  EXPECT_EQ(browser.Post("/api/command", boss, command, json_type)->status, 200);
  service.wait_for("a", RunView::STOPPED);
  std::string text;
  browser.Get("/api/events", boss, [&](const char* bytes, size_t count) {
    text.append(bytes, count);
    return text.find("event: runs") == std::string::npos;
  });
  EXPECT_NE(text.find("stop by grace"), std::string::npos) << "by whose token it is, not by what "
                                                              "the request says";
  EXPECT_EQ(text.find("nobody"), std::string::npos);
}

TEST(Dashboard, more_requests_than_anybody_needs_are_refused) {
  const Service service("dashboard-flood");
  httplib::Client browser(service.dashboard());
  browser.set_keep_alive(true);
  browser.set_tcp_nodelay(true);
  int refused = 0;
  for (int i = 0; i < 5000 && !refused; ++i) refused += browser.Get("/healthz")->status == 429;
  EXPECT_EQ(refused, 1);
  service.eventually("and served again", [&] { return browser.Get("/healthz")->status == 200; });
}

}  // namespace
}  // namespace katman::testing
