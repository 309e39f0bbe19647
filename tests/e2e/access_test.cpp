// An orchestrator that others can reach: who may do what, and what is refused.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/service.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

constexpr const char* viewer = "0123456789abcdef0123";
constexpr const char* boss = "fedcba98765432100123";

std::string secret(const std::string& name, const std::string& text) {
  const std::string file = small_run().path(name);
  std::ofstream(file) << text;
  chmod(file.c_str(), 0600);
  return file;
}

// A certificate for this machine's own names.
std::string certificate() {
  const std::string file = small_run().path("tls.pem"), key = small_run().path("tls.key");
  const Result made =
      run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
           "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", file});
  EXPECT_EQ(made.status, 0) << made.output;
  return file;
}

CommandRequest asked(const std::string& run, Verb verb) {
  CommandRequest request;
  request.set_id(new_id());
  request.set_run(run);
  request.set_verb(verb);
  request.set_reason("a test");
  return request;
}

TEST(Access, off_loopback_everybody_shows_a_token_over_tls_and_does_only_what_it_allows) {
  const std::string pem = certificate();
  const std::string tokens =
      secret("tokens", fmt::format("viewer ada {}\noperator grace {}\n", viewer, boss));
  const Reach grace{"0.0.0.0:0", secret("grace.token", boss), pem};
  Service service("guarded",
                  {"--tokens", tokens, "--tls-cert", pem, "--tls-key", small_run().path("tls.key"),
                   "--advertise", "localhost"},
                  grace);
  const std::string address = service.reach().address;
  EXPECT_EQ(address.find("0.0.0.0"), std::string::npos);

  Client nobody({.address = address, .ca_file = pem});
  EXPECT_TRUE(fails_with("wants a token that it knows", [&] { nobody.list(); }));
  Client stranger({address, secret("wrong.token", "00000000000000000000"), pem});
  EXPECT_TRUE(fails_with("wants a token that it knows", [&] { stranger.list(); }));
  Client plain({.address = address});
  EXPECT_TRUE(fails_with("no orchestrator answers", [&] { plain.list(); }));

  service.submit("a", {"steps=1000000", "checkpoint.every_steps=1000000"});
  service.wait_for("a", RunView::RUNNING, 1);  // its worker reports, by a token of its own
  Client ada({address, secret("ada.token", viewer), pem});
  EXPECT_EQ(ada.list().runs_size(), 1);
  EXPECT_TRUE(
      fails_with("ada is a viewer, who may not", [&] { ada.command(asked("a", STOP_RUN)); }));
  EXPECT_TRUE(fails_with("ada is a viewer, who may not", [&] { ada.submit({}); }));
  EXPECT_EQ(service.command("a", CHECKPOINT_NOW).outcome(), CommandResult::DONE)
      << "the worker heard what was wished";

  // Two people press opposite buttons: the second has not seen what the first did.
  const uint64_t version = ada.show("a").version();
  CommandRequest pause = asked("a", PAUSE_RUN), restart = asked("a", RESTART_RUN);
  pause.set_expected_version(version);
  restart.set_expected_version(version);
  EXPECT_NE(service.client().command(pause).outcome(), CommandResult::REFUSED);
  const CommandResult late = service.client().command(restart);
  EXPECT_EQ(late.outcome(), CommandResult::REFUSED);
  EXPECT_NE(late.text().find("has changed in the meantime"), std::string::npos) << late.text();
  service.wait_for("a", RunView::PAUSED);
  std::string who;
  ada.watch({}, [&](const Event& event) {
    if (event.kind() == "command" && event.text().find("pause") == 0) who = event.text();
    return who.empty();
  });
  EXPECT_NE(who.find("pause by grace"), std::string::npos) << who;
  EXPECT_NE(who.find("a test"), std::string::npos) << who;
}

TEST(Access, it_does_not_listen_where_others_reach_it_without_tls_and_tokens) {
  const std::string pem = certificate();
  const std::string tokens = secret("tokens", fmt::format("operator grace {}\n", boss));
  const auto refused = [&](std::vector<std::string> options, const std::string& words) {
    std::vector<std::string> command = {katman(),      "orchestrate", "--listen",
                                        "0.0.0.0:0",   "--data",      small_run().path("open"),
                                        "--dashboard", "127.0.0.1:0"};
    command.insert(command.end(), options.begin(), options.end());
    const Result result = run(command);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_NE(result.output.find(words), std::string::npos) << result.output;
  };
  refused({}, "refusing to listen on 0.0.0.0:0");
  refused({"--tokens", tokens}, "refusing to listen on 0.0.0.0:0");
  refused({"--tls-cert", pem, "--tls-key", small_run().path("tls.key")},
          "refusing to listen on 0.0.0.0:0");
  refused({"--tls-cert", pem}, "--tls-cert and --tls-key go together");
  refused({"--launcher", "command"}, "--launcher is 'command'");
  refused({"--launcher", "command", "--command", "echo {ranks}"}, "starts no ranks");
}

TEST(Access, a_token_is_not_sent_where_others_could_read_it) {
  const Result result = run({katman(), "runs", "list", "--to", "192.0.2.1:7410", "--token-file",
                             secret("grace.token", boss)});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("would travel to 192.0.2.1:7410 readable by others"),
            std::string::npos)
      << result.output;
}

}  // namespace
}  // namespace katman::testing
