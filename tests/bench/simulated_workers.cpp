// Workers that only report: what an orchestrator has to bear, without the training.
//   simulated_workers HOST:PORT DATA RUNS RANKS SECONDS
// For RUNS runs named load-0, load-1, ... that the orchestrator at HOST:PORT on directory DATA
// takes for live, RANKS ranks each report every two seconds, and rank 0 writes a line of metrics a
// second.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "orchestrator/control/metrics.h"
#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

struct Run {
  std::string name;
  std::unique_ptr<JsonLines> lines;
  uint64_t step = 0;
};

void write_step(Run& run) {
  const auto step = static_cast<double>(run.step);
  run.lines->write(static_cast<int64_t>(run.step++), {{"loss", 3 + 8 / (1 + 0.1 * step)},
                                                      {"grad_norm", 1 + 0.1 * std::sin(step)},
                                                      {"learning_rate", 3e-4},
                                                      {"tokens", 524288},
                                                      {"tokens_per_s", 1e5},
                                                      {"utilisation", 0.4},
                                                      {"seconds", 1},
                                                      {"data_seconds", 0.001},
                                                      {"tokens_seen", step * 524288},
                                                      {"skipped", 0}});
}

void report(Workers::Stub& stub, const Run& run, int64_t& failures) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  WorkerReport report;
  report.set_run(run.name);
  report.set_generation(1);
  report.set_step(run.step);
  report.set_phase(TRAINING);
  WorkerWishes wishes;
  if (!stub.Report(&context, report, &wishes).ok()) ++failures;
}

int simulate(const std::string& address, const std::string& data, int runs, int ranks,
             double seconds) {
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  const auto stub = Workers::NewStub(channel);
  std::vector<Run> all;
  for (int i = 0; i < runs; ++i) {
    const std::string name = "load-" + std::to_string(i);
    all.push_back(
        {name, std::make_unique<JsonLines>(data + "/runs/" + name + "/metrics.jsonl", 1)});
  }
  int64_t reports = 0, failures = 0;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  // Two seconds in 2 * ranks slices: in each, one rank of every run reports; twice, all write.
  for (int slice = 0; elapsed() < seconds; ++slice) {
    for (Run& run : all) {
      if (slice % ranks == 0) write_step(run);
      if (slice % 2 == 0) {
        report(*stub, run, failures);
        ++reports;
      }
    }
    const double next = 1.0 / ranks * (slice + 1);
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, next - elapsed())));
  }
  std::printf("%lld reports in %.1f s, %lld unanswered\n", static_cast<long long>(reports),
              elapsed(), static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace katman

int main(int count, char** words) {
  if (count != 6) {
    std::fprintf(stderr, "usage: simulated_workers HOST:PORT DATA RUNS RANKS SECONDS\n");
    return 2;
  }
  return katman::simulate(words[1], words[2], std::stoi(words[3]), std::stoi(words[4]),
                          std::stod(words[5]));
}
