// Two ranks with one thread each, cut by tensor, data and pipeline, against one rank with two
// threads on the same two cores: tokens per second of all four in one run, as a table and as JSON.
//
//   layouts [--model gpt2-124m] [--micros 8] [--steps 3] [--backend cpu] [--precision bf16]
//
// Starts itself under mpirun; the figures are ratios within one run, never bare times.
#include <stdio.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/model/presets.h"
#include "core/random.h"
#include "parallel/comm/mpi.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

struct Request {
  std::string model = "gpt2-124m", backend = "cpu", precision = "bf16", schedule = "1f1b";
  int micros = 8, steps = 3, tp = 1, dp = 1, pp = 1, threads = 0;
  bool rank = false;  // this process is a rank
};

void random_tokens(uint64_t sample, std::span<int32_t> tokens) {
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>(random_bits(Key(sample), i) % 50000);
}

// The fastest step after the first, in tokens per second.
double tokens_per_second(const Request& request, Comm& world) {
  TrainConfig config;
  config.model = gpt_preset(request.model);
  config.mesh = {request.tp, request.dp, request.pp};
  config.batch_sequences = request.micros;
  config.micro_batch = 1;
  config.precision = request.precision == "bf16" ? DType::bf16 : DType::f32;
  config.schedule = request.schedule;
  config.rate = {.kind = LearningRate::Kind::constant, .peak = 1e-4f};
  const auto backend = make_backend(request.backend, request.threads);
  Trainer trainer(config, *backend, world, windows(random_tokens));
  double best = 0;
  for (int step = 0; step <= request.steps; ++step) {
    const StepReport report = trainer.step({});
    if (step) best = std::max(best, static_cast<double>(report.tokens) / report.seconds);
  }
  return best;
}

void run_rank(const Request& request) {
  MpiSession session;
  const auto world = session.world();
  const double speed = tokens_per_second(request, *world);
  if (world->rank() == 0) printf("%.6g\n", speed);
}

double launch(const std::string& self, const Request& request) {
  const int ranks = request.tp * request.dp * request.pp;
  const std::string command = fmt::format(
      "mpirun --allow-run-as-root --oversubscribe --bind-to {} -n {} {} --rank --model {} --micros "
      "{} --steps {} --backend {} --precision {} --schedule {} --tp {} --dp {} --pp {} --threads "
      "{}",
      ranks == 1 ? "none" : "core", ranks, self, request.model, request.micros, request.steps,
      request.backend, request.precision, request.schedule, request.tp, request.dp, request.pp,
      request.threads);
  FILE* pipe = popen(command.c_str(), "r");
  require(pipe != nullptr, "cannot run {}", command);
  double speed = 0;
  const int read = fscanf(pipe, "%lf", &speed);
  const int status = pclose(pipe);
  require(status == 0 && read == 1, "this did not work: {}", command);
  return speed;
}

void run_all(const std::string& self, Request request) {
  struct Case {
    const char* name;
    int tp, dp, pp, threads;
    const char* schedule;
  };
  auto json = nlohmann::json::array();
  double one = 0;
  for (const Case& c :
       {Case{"one rank, two threads", 1, 1, 1, 2, "1f1b"}, Case{"tp=2", 2, 1, 1, 1, "1f1b"},
        Case{"dp=2", 1, 2, 1, 1, "1f1b"}, Case{"pp=2, 1f1b", 1, 1, 2, 1, "1f1b"},
        Case{"pp=2, zero_bubble", 1, 1, 2, 1, "zero_bubble"},
        Case{"pp=2, zero_bubble_h2", 1, 1, 2, 1, "zero_bubble_h2"}}) {
    request.tp = c.tp, request.dp = c.dp, request.pp = c.pp;
    request.threads = c.threads;
    request.schedule = c.schedule;
    const double speed = launch(self, request);
    if (one == 0) one = speed;
    printf("%-24s %10.1f tokens/s %6.2f\n", c.name, speed, speed / one);
    fflush(stdout);
    json.push_back({{"layout", c.name}, {"tokens_per_second", speed}, {"ratio", speed / one}});
  }
  printf("%s\n", json.dump().c_str());
}

}  // namespace
}  // namespace katman

int main(int argc, char** argv) try {
  katman::Request request;
  CLI::App app("Tokens per second of two ranks, by layout, against one.");
  app.add_option("--model", request.model);
  app.add_option("--backend", request.backend);
  app.add_option("--precision", request.precision);
  app.add_option("--schedule", request.schedule);
  app.add_option("--micros", request.micros);
  app.add_option("--steps", request.steps);
  app.add_option("--tp", request.tp);
  app.add_option("--dp", request.dp);
  app.add_option("--pp", request.pp);
  app.add_option("--threads", request.threads);
  app.add_flag("--rank", request.rank);
  CLI11_PARSE(app, argc, argv);
  if (request.rank)
    katman::run_rank(request);
  else
    katman::run_all(argv[0], request);
  return 0;
} catch (const std::exception& error) {
  fprintf(stderr, "%s\n", error.what());
  return 1;
}
