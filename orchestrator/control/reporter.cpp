#include "orchestrator/control/reporter.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "core/log.h"
#include "orchestrator/eval/table.h"

namespace katman {

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

Reporter::Reporter(const RunSpec& spec, uint64_t generation, double flops_per_token,
                   double peak_flops, bool terminal)
    : log_(spec.directory() + "/checkpoints", files_),
      generation_(generation),
      lines_(spec.directory() + "/metrics.jsonl", generation),
      board_(spec.directory()),
      flops_per_token_(flops_per_token),
      peak_flops_(peak_flops),
      steps_(static_cast<int64_t>(spec.steps())),
      terminal_(terminal || isatty(STDERR_FILENO)) {}

std::string Reporter::progress(const StepReport& report) const {
  const double rate = static_cast<double>(report.read) / smooth_seconds_;
  const double left = static_cast<double>(steps_ - report.step - 1) * smooth_seconds_;
  return fmt::format("step {}/{}  loss {:.4f}  {:.0f} tokens/s  utilisation {:.0f} %  {} left{}",
                     report.step + 1, steps_, report.loss, rate,
                     100 * rate * flops_per_token_ / peak_flops_, duration(left),
                     skipped_ ? fmt::format("  {} skipped", skipped_) : "");
}

void Reporter::write(int64_t step, const Scalars& scalars) {
  if (log_.has_more()) log_.refresh();
  log_.require_newest(generation_);
  lines_.write(step, scalars);
  board_.write(step, scalars);
}

void Reporter::step(const StepReport& report, double data_s, int64_t tokens_seen,
                    std::optional<double> memory_bytes) {
  skipped_ += report.skipped;
  // The first step packs weights and compiles kernels: it would spoil the average for long.
  smooth_seconds_ = ++seen_ <= 2 ? report.seconds : 0.9 * smooth_seconds_ + 0.1 * report.seconds;
  const double tokens_per_s = static_cast<double>(report.read) / report.seconds;
  Scalars scalars = {{"loss", report.loss},
                     {"grad_norm", report.grad_norm},
                     {"learning_rate", report.rate},
                     {"tokens", static_cast<double>(report.tokens)},
                     {"tokens_per_s", tokens_per_s},
                     {"utilisation", tokens_per_s * flops_per_token_ / peak_flops_},
                     {"seconds", report.seconds},
                     {"data_seconds", data_s},
                     {"tokens_seen", static_cast<double>(tokens_seen)},
                     {"skipped", report.skipped ? 1.0 : 0.0}};
  if (memory_bytes) scalars.emplace_back("memory_bytes", *memory_bytes);
  write(report.step, scalars);

  const auto now = Clock::now();
  const bool last = report.step + 1 == steps_;
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (!last && seen_ > 1 && now - last_shown_ < pause) return;
  last_shown_ = now;
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}{}", progress(report), last ? "\n" : "");
    std::fflush(stderr);
  } else {
    spdlog::info("{}", progress(report));
  }
}

void Reporter::validation(int64_t step, double nats, double bytes_per_token) {
  Scalars scalars = {{"validation_loss", nats}, {"perplexity", std::exp(nats)}};
  std::string bits;
  if (bytes_per_token > 0) {
    scalars.emplace_back("bits_per_byte", nats / std::log(2.0) / bytes_per_token);
    bits = fmt::format(", {:.4f} bits per byte", scalars.back().second);
  }
  write(step, scalars);
  say(fmt::format("after step {}: validation loss {:.4f} nats, perplexity {:.2f}{}", step + 1, nats,
                  std::exp(nats), bits));
}

void Reporter::scores(int64_t step, const Scalars& scalars) {
  write(step, scalars);
  std::string line = fmt::format("after step {}:", step + 1);
  for (const auto& [name, value] : scalars) line += fmt::format("  {} {:.4f}", name, value);
  say(line);
}

void Reporter::evaluation(int64_t step, const std::vector<TaskResult>& results, int64_t positions) {
  write(step, series_of(results));
  say(fmt::format("after step {}, asked about its tasks:", step + 1));
  for (const std::string& line : result_table(results)) say(line);
  for (const TaskResult& result : results)
    if (const std::string note = truncation_note(result, positions); !note.empty()) say(note);
}

void Reporter::say(const std::string& line) {
  if (terminal_) fmt::print(stderr, "\r\033[K");
  spdlog::info("{}", line);
}

}  // namespace katman
