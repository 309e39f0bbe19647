#include "orchestrator/worker.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>
#include <optional>

#include "core/log.h"
#include "data_pipeline/corpus/skipped.h"
#include "orchestrator/bench/peak.h"
#include "orchestrator/continuation.h"
#include "orchestrator/control/link.h"
#include "orchestrator/control/reporter.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/finetune/start.h"
#include "orchestrator/loss_guard.h"
#include "orchestrator/memory_table.h"
#include "orchestrator/observer.h"
#include "orchestrator/plan_table.h"
#include "orchestrator/rank_device.h"
#include "orchestrator/run_data.h"
#include "orchestrator/run_tasks.h"
#include "orchestrator/signals.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/gather.h"
#include "parallel/comm/device_world.h"
#include "parallel/comm/observed.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// For another rank under NCCL: it may be writing the end of a checkpoint to a slow disk.
constexpr std::chrono::minutes longest_transfer{10};

// One rank of one run. Everything that can be wrong with the spec is found while this is built.
class Run {
 public:
  Run(const RunSpec& spec, Comm& host, const WorkerOptions& options)
      : spec_(spec),
        options_(options),
        data_(open_run_data(spec)),
        place_(local_place(host)),
        device_(device_of_rank(spec.device().kind(), place_)),
        config_(fitting(train_config(spec, *data_), device_, place_)),
        tasks_(spec, *data_, config_.model),
        backend_(make_backend(device_, threads())),
        exchange_(device_world(host, *backend_, longest_transfer)),
        observed_(observed(*exchange_, waiting_)),
        world_(*observed_),
        trainer_(config_, *backend_, world_, data_->training(digests(host.rank()))),
        directory_(prepare_directory()),
        store_(directory_ / "checkpoints", store_options(), *backend_, world_),
        observer_(world_, *backend_, trainer_.config().mesh, directory_, store_.generation()),
        guard_(spec.recovery().spike_factor()) {
    backend_->allow_tf32(spec.device().precision() == "tf32");
    if (!options.report_to.address.empty())
      link_.emplace(options.report_to, spec.name(), options.generation, host.rank(), waiting_);
  }

  Outcome to_the_end();

 private:
  // The ends of a pipeline both read the tokens of a replica: its first tensor rank of the last
  // stage counts them.
  bool digests(int rank) const {
    const auto& mesh = spec_.mesh();
    const Mesh shape{static_cast<int>(mesh.tp()), static_cast<int>(mesh.dp()),
                     static_cast<int>(mesh.pp())};
    const Place place = shape.place(rank);
    return place.tp == 0 && place.pp == shape.pp - 1;
  }
  int threads() const {
    return spec_.device().threads() ? static_cast<int>(spec_.device().threads()) : options_.threads;
  }
  bool speaks() const { return world_.rank() == 0; }
  bool is_last(int64_t step) const { return step + 1 == static_cast<int64_t>(spec_.steps()); }

  fs::path prepare_directory() const;
  void write_identity() const;
  CheckpointOptions store_options() const;
  void resume();
  void start();
  double measured_peak();
  void start_reporting();
  void at(Phase phase);
  template <class Call>
  void timed(const char* what, int64_t step, Call call);
  void judge(const StepReport& report);
  [[noreturn]] void roll_back(const StepReport& report, const std::string& what);
  bool step(const StopSignals& signals);
  void validate(int64_t step);
  void evaluate(int64_t step);
  void save();
  // The corpus's sample that a step begins with.
  uint64_t first_sample(int64_t step) const {
    return data_->skipped().nth(static_cast<uint64_t>(trainer_.batches().first(step)));
  }
  uint64_t sum(uint64_t mine);

  const RunSpec& spec_;
  const WorkerOptions& options_;
  Waiting waiting_;
  std::unique_ptr<RunData> data_;
  LocalPlace place_;
  std::string device_;  // of this rank: "cuda:1"
  TrainConfig config_;
  const RunTasks tasks_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Comm> exchange_, observed_;
  Comm& world_;
  Trainer trainer_;
  fs::path directory_;
  CheckpointStore store_;
  Observer observer_;
  std::optional<Reporter> reporter_;
  std::optional<Link> link_;
  LossGuard guard_;
  // Of the steps before this incarnation, on all ranks.
  uint64_t earlier_digest_ = 0;
  int64_t skipped_ = 0, tokens_ = 0;
};

fs::path Run::prepare_directory() const {
  const fs::path directory = spec_.directory();
  if (speaks()) Files().make_directory(directory);
  return directory;
}

// What makes the directory a run: its spec, and the tokenizer that its ids mean. Written once the
// spec is known to fit the checkpoints that are there: a refused one leaves no trace.
void Run::write_identity() const {
  if (!speaks()) return;
  const Files files;
  files.write(directory_ / "run.textproto", to_text(spec_));
  data_->write_tokenizer(directory_ / "tokenizer.json");
}

CheckpointOptions Run::store_options() const {
  CheckpointOptions options;
  options.keep_last = static_cast<int>(spec_.checkpoint().keep_last());
  options.keep_every = static_cast<int64_t>(spec_.checkpoint().keep_every());
  options.tokenizer = directory_ / "tokenizer.json";
  options.generation = options_.generation;
  return options;
}

void Run::resume() {
  // Ahead of their tensors: those of a fine-tuned model may have other shapes.
  if (const auto newest = store_.latest()) check_same_kind(newest->run, spec_);
  settle_frozen(spec_, trainer_, *backend_, world_);
  const auto info = store_.resume(trainer_.optimizer().pieces());
  for (const SkippedSamples& samples : store_.skipped())
    data_->skip(samples.first(), samples.count());
  if (!info) return start();
  for (const SkippedSamples& samples : info->skipped) data_->skip(samples.first(), samples.count());
  check_continues(*info, spec_, trainer_.config().model, *data_);
  if (speaks() && info->run.steps() > 0)  // an imported model has no run
    for (const std::string& line : differences(info->run, spec_))
      spdlog::info("since the last checkpoint, the run file changed: {}", line);
  trainer_.resume(info->step);
  const auto counter = [&](const char* name) {
    const auto found = info->counters.find(name);
    return found == info->counters.end() ? 0 : found->second;
  };
  earlier_digest_ = static_cast<uint64_t>(counter("sample_digest"));
  skipped_ = counter("skipped_steps");
  tokens_ = counter("tokens");
  guard_ = LossGuard(spec_.recovery().spike_factor(),
                     std::bit_cast<double>(counter("loss_mean_bits")), counter("losses_seen"));
  if (speaks())
    spdlog::info("going on after step {} of {}, from {}", info->step, spec_.steps(),
                 info->directory.string());
}

// A run without checkpoints begins with the weights it was initialised with, or with others.
void Run::start() {
  if (!spec_.has_finetune()) return;
  const fs::path checkpoint = starting_checkpoint(spec_);
  load_weights(checkpoint, trainer_.optimizer().pieces(), *backend_);
  trainer_.resume(0);
  if (speaks()) spdlog::info("starting from the weights in {}", checkpoint.string());
}

uint64_t Run::sum(uint64_t mine) {
  uint64_t total = 0;
  for (const int64_t part : gather(world_, *backend_, static_cast<int64_t>(mine)))
    total += static_cast<uint64_t>(part);
  return total;
}

// FLOP/s of all ranks together. Collective.
double Run::measured_peak() {
  const DType dtype = trainer_.config().precision;
  const bool serial = device_ == "reference";
  const double mine = serial ? measured_peak_flops(*backend_, dtype, 256, 0.05)
                             : measured_peak_flops(*backend_, dtype);
  return static_cast<double>(sum(static_cast<uint64_t>(mine)));
}

void Run::start_reporting() {
  const double peak = measured_peak();
  const auto memory = memory_table(trainer_, *backend_, world_);
  if (!speaks()) return;
  const GptConfig& model = trainer_.config().model;
  spdlog::info("{}: {:.1f} million parameters, {} steps of {} tokens, {}, {}", spec_.name(),
               static_cast<double>(model.parameters()) * 1e-6, spec_.steps(),
               trainer_.config().batch_sequences * trainer_.config().tokens_per_sequence(),
               to_string(trainer_.config().mesh), backend_->name());
  for (const std::string& line : memory) spdlog::info("{}", line);
  spdlog::info(
      "utilisation = tokens/s * {:.1f} MFLOP per token (6 per weight of a matrix product, 6 * "
      "layers "
      "* hidden * sequence for attention) / {:.1f} GFLOP/s, what a large {} product reaches here",
      model.flops_per_token() * 1e-6, peak * 1e-9, name_of(trainer_.config().precision));
  spdlog::info("what a rank of each stage will use, in GB (katman plan explains it):");
  for (const std::string& line : plan_table(plan_run(config_, device_))) spdlog::info("{}", line);
  if (const std::string about = data_->about(); !about.empty()) spdlog::info("{}", about);
  if (data_->validation_sequences() == 0) spdlog::warn("no validation loss: {}", data_->why_not());
  reporter_.emplace(spec_, store_.generation(), model.flops_per_token(), peak, options_.terminal);
}

void Run::validate(int64_t step) {
  if (data_->validation_sequences() == 0) return;
  const auto found = trainer_.examine(data_->validation(), 0, data_->validation_sequences());
  if (!reporter_) return;
  const Scalars scores = data_->judge(found);
  if (scores.empty())
    return reporter_->validation(step, found.loss, data_->validation_bytes_per_token());
  reporter_->scores(step, scores);
  if (is_last(step)) reporter_->say(data_->write_report(found, directory_));
}

void Run::evaluate(int64_t step) {
  trainer_.ask([&](Reader& reader) {
    const auto results =
        tasks_.ask(reader, *backend_, *trainer_.groups().dp, [&](int64_t answered) {
          if (link_) link_->asked(answered);
        });
    if (reporter_) reporter_->evaluation(step, results, reader.config().sequence);
  });
}

void Run::save() {
  CheckpointInfo info;
  info.step = trainer_.next_step();
  info.samples_consumed = first_sample(info.step);
  info.model = trainer_.config().model;
  info.run = spec_;
  info.mesh = trainer_.config().mesh;
  info.tokenizer_fingerprint = data_->tokenizer_fingerprint();
  info.counters = {{"sample_digest", static_cast<int64_t>(earlier_digest_ + sum(data_->digest()))},
                   {"skipped_steps", skipped_},
                   {"tokens", tokens_},
                   {"loss_mean_bits", std::bit_cast<int64_t>(guard_.mean())},
                   {"losses_seen", guard_.seen()}};
  for (const Skipped::Range& range : data_->skipped().ranges()) {
    SkippedSamples& samples = info.skipped.emplace_back();
    samples.set_first(range.first);
    samples.set_count(range.end - range.first);
  }
  store_.save(info, trainer_.optimizer().pieces());
}

void Run::at(Phase phase) {
  if (link_) link_->at(phase, trainer_.next_step());
}

// Training stands still for this long.
template <class Call>
void Run::timed(const char* what, int64_t step, Call call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (reporter_) reporter_->write(step, {{what, took.count()}});
  waiting_.take_s();  // only what steps wait for belongs to the ranks' figures
}

// All ranks saw the same step, so all decide alike.
void Run::judge(const StepReport& report) {
  if (spec_.recovery().on_bad_step() != "rollback") return;
  if (report.skipped)
    roll_back(report, "the loss or its gradient was not a finite number");
  else if (const double mean = guard_.mean(); guard_.is_spike(report.loss))
    roll_back(report, fmt::format("the loss was {:.4f}, {:.2f} times the recent mean", report.loss,
                                  report.loss / mean));
}

// Back to before the batches that led here, which are left out from then on.
void Run::roll_back(const StepReport& report, const std::string& what) {
  const RecoverySpec& policy = spec_.recovery();
  store_.finish();
  const auto earlier = store_.rollbacks_that_skip();
  if (earlier >= policy.most_rollbacks())
    throw Diverged(
        fmt::format("after step {}, {}, and the run was rolled back {} times already "
                    "(recovery.most_rollbacks): lower the learning rate, or look at the data",
                    report.step + 1, what, earlier));
  const int64_t first_bad = std::max<int64_t>(0, report.step + 1 - policy.skip_batches());
  SkippedSamples skipped;
  skipped.set_first(first_sample(first_bad));
  skipped.set_count(first_sample(report.step + 1) - skipped.first());
  const std::string why =
      fmt::format("after step {}, {}; samples {} to {} are left out", report.step + 1, what,
                  skipped.first(), skipped.first() + skipped.count() - 1);
  const int64_t step = store_.roll_back(first_bad, why, {skipped});
  throw RolledBack(fmt::format("back to step {}: {}", step, why));
}

// Whether to go on.
bool Run::step(const StopSignals& signals) {
  Wishes wishes = link_ ? link_->wishes() : Wishes();
  wishes.stop |= signals.requested();
  at(TRAINING);
  waiting_.take_s();  // what came before the step: a validation, a save
  const StepReport report = trainer_.step(wishes);
  skipped_ += report.skipped;
  tokens_ += report.tokens;
  const double data_s = data_->take_read_s();
  const double waited_s = waiting_.take_s();
  const auto memory =
      observer_.after({report.step, report.seconds, waited_s, data_s}, trainer_.timeline());
  waiting_.take_s();  // for the others' figures: no part of a step
  if (reporter_) reporter_->step(report, data_s, tokens_, memory);
  if (link_) {
    link_->took(report.seconds, waited_s);
    link_->unsaved(store_.problem());
  }
  judge(report);
  const auto due = [&](uint64_t every) {
    return is_last(report.step) || static_cast<uint64_t>(report.step + 1) % every == 0;
  };
  if (due(spec_.validation().every_steps())) {
    at(VALIDATING);
    observer_.write_timeline(trainer_.timeline());
    timed("validation_seconds", report.step, [&] { validate(report.step); });
  }
  if (!tasks_.empty() && due(spec_.evaluation().every_steps())) {
    at(EVALUATING);
    timed("evaluation_seconds", report.step, [&] { evaluate(report.step); });
  }
  if (report.agreed.stop || report.agreed.save || due(spec_.checkpoint().every_steps())) {
    at(SAVING);
    timed("save_seconds", report.step, [&] { save(); });
    if (link_) link_->saved(trainer_.next_step());
  }
  return !report.agreed.stop;
}

Outcome Run::to_the_end() {
  const StopSignals signals;
  resume();
  write_identity();
  const auto steps = static_cast<int64_t>(spec_.steps());
  if (trainer_.next_step() >= steps) {
    if (speaks())
      spdlog::info("{} is complete: all {} steps are done; raise steps to go on", spec_.directory(),
                   steps);
    return Outcome::completed;
  }
  start_reporting();
  store_.prepare(trainer_.optimizer().pieces());
  while (trainer_.next_step() < steps && step(signals)) {
  }
  at(SAVING);
  observer_.write_timeline(trainer_.timeline());
  const bool saved = store_.finish();
  if (link_) link_->unsaved(store_.problem());
  require(saved, "the last checkpoint was not saved; the log above says why");
  if (trainer_.next_step() >= steps) return Outcome::completed;
  if (reporter_)
    reporter_->say(fmt::format("stopped after step {} of {}; the same command goes on from there",
                               trainer_.next_step(), steps));
  return Outcome::stopped;
}

}  // namespace

Outcome run_worker(const RunSpec& spec, Comm& world, const WorkerOptions& options) {
  return Run(spec, world, options).to_the_end();
}

}  // namespace katman
