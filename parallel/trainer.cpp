#include "parallel/trainer.h"

#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "parallel/completion.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/transfers.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t most_skipped_in_a_row = 3;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A rank's program for a pass, proven to be possible.
Program program_of(const Schedule& compute, int micros, bool training, int rank) {
  const Schedule whole = with_comms(compute);
  verify(whole, micros, training);
  return whole[static_cast<size_t>(rank)];
}

}  // namespace

struct Trainer::Parts {
  TrainConfig config;
  Backend& backend;
  Comm& world;
  Groups groups;
  BatchPlan batches;
  Samples samples;
  ModelContext context;
  Params params;
  std::deque<ModelStage> stages;        // [chunk]
  std::vector<StageWork*> work;         // [chunk], the same
  std::map<const Param*, int> part_of;  // what adds to its gradient: a layer, or a chunk's rest
  std::optional<Completion> completion;
  std::unique_ptr<Zero> zero;
  Vote vote;
  Tensor unheard;  // f32 [1], the loss on ranks that do not answer for it
  DeviceClock& clock;
  std::vector<TimedAction> last_pass;  // of training
  std::vector<Span> timeline;
  int64_t next_step = 0, skipped_in_a_row = 0;

  Parts(const TrainConfig& c, Backend& b, Comm& w, Groups g, Samples s, Start start)
      : config(c),
        backend(b),
        world(w),
        groups(std::move(g)),
        batches(c.batches()),
        samples(std::move(s)),
        context{b, *groups.tp, c.precision, c.sequence_parallel, Key(c.seed), c.lora, c.fp8},
        vote(b, w),
        unheard(b.zeros({1}, DType::f32)),
        clock(clock_of(b.queue())) {
    build_stages();
    if (config.lora.rank)
      params.freeze([](const Param& param) {
        return !is_adapter(param.name) && !param.name.starts_with("task.");
      });
    params.allocate(backend, config.precision, config.bucket_elements, Zero::pad_to(groups));
    zero = std::make_unique<Zero>(params, backend, groups, config.adam, config.sequence_parallel);
    if (start == Start::fresh) {
      params.initialise(backend, context.seed);
      zero->initialise(context.seed);
    }
    completion.emplace(params.buckets(), [this](const Param* param) { return part_of.at(param); });
  }

  int stage_number(int chunk) const { return chunk * config.mesh.pp + groups.place.pp; }

  void build_stages() {
    const auto ranges = split_layers(config.model, config.mesh.pp * config.chunks);
    for (int chunk = 0; chunk < config.chunks; ++chunk) {
      const StageRange range = ranges[static_cast<size_t>(stage_number(chunk))];
      stages.emplace_back(config.model, range, context, params, config.recompute,
                          Objective{config.tokens_per_sequence(), config.documents, config.task,
                                    config.language_weight},
                          ModelStage::Told{[this](int64_t layer) { part_done(part(layer)); },
                                           [this, chunk, range] { chunk_done(chunk, range); }});
      work.push_back(&stages.back());
      for (const Param& param : params.all()) part_of.try_emplace(&param, part_named(param, chunk));
    }
  }

  // Layers are parts by their number, what a chunk holds besides them below zero.
  static int part(int64_t layer) { return static_cast<int>(layer); }
  static int rest_of(int chunk) { return -1 - chunk; }
  static int part_named(const Param& param, int chunk) {
    return param.name.starts_with("h.") ? std::stoi(param.name.substr(2)) : rest_of(chunk);
  }
  void part_done(int part) {
    completion->done(part, [this](size_t bucket) { zero->ready(bucket); });
  }
  void chunk_done(int chunk, const StageRange& range) {
    for (int64_t layer = range.last_layer; layer-- > range.first_layer;) part_done(part(layer));
    part_done(rest_of(chunk));
  }

  // Exactly one tensor rank of the last stage answers for a replica's loss.
  bool heard() const { return groups.place.tp == 0 && groups.place.pp == config.mesh.pp - 1; }

  // Runs `program` over my part of the sequences and returns how many tokens (or examples) I answer
  // for.
  int64_t run_pass(const Program& program, const Pass& pass) {
    for (ModelStage& stage : stages) stage.begin(pass);
    auto actions = run(program, work, *groups.pp, clock);
    if (pass.training) last_pass = std::move(actions);
    return heard() ? stages.back().counted() : 0;
  }
  Tensor my_loss_sum() { return heard() ? vote.loss_sum() : unheard; }

  // The sequences of an example stay together.
  int64_t sequences_per_example() const { return config.task ? config.task->sequences : 1; }
  std::vector<MicroBatch> my_part(int64_t first, int64_t count) const {
    const int64_t each = sequences_per_example();
    auto micros = cut_batch(first / each, count / each, groups.place.dp, config.mesh.dp,
                            config.micro_batch / each);
    for (MicroBatch& micro : micros) micro = {micro.first * each, micro.sequences * each};
    return micros;
  }

  // Returns how many tokens I answer for; the loss and the squared norm are on the ballot.
  int64_t gradients() {
    auto micros = my_part(batches.first(next_step), batches.sequences(next_step));
    const Program& program = training_program(static_cast<int>(micros.size()));
    params.zero_grads(backend);
    vote.clear();
    completion->begin();
    const Pass pass{samples, std::move(micros), true, my_loss_sum()};
    const int64_t counted = run_pass(program, pass);
    zero->finish_reduce();
    zero->square_norm(vote.squared_norm());
    return counted;
  }

  // The number of micro-batches changes from step to step only where the batch grows.
  Program training;
  int training_micros = 0;
  const Program& training_program(int micros) {
    if (micros == training_micros) return training;
    training = micros == 0
                   ? Program()
                   : program_of(config.schedule_over(micros), micros, true, groups.place.pp);
    training_micros = micros;
    return training;
  }

  // Scores that every rank knows a part of, or none: exactly one answers for each.
  std::vector<float> everyones(const Tensor& scores) {
    if (!scores) return {};
    if (!heard()) backend.fill_zero(scores);
    world.all_reduce(scores).wait();
    std::vector<float> host(static_cast<size_t>(scores.elements()));
    backend.download(scores, host.data());
    return host;
  }

  void count_skip() {
    ++skipped_in_a_row;
    if (skipped_in_a_row >= most_skipped_in_a_row)
      throw Diverged(fmt::format(
          "the loss or its gradient was not a finite number in {} steps in a row, up to step {}; "
          "go back to an earlier checkpoint with a lower learning rate, or with other data",
          skipped_in_a_row, next_step));
  }
};

Trainer::Trainer(const TrainConfig& config, Backend& backend, Comm& world, Samples samples,
                 Start start)
    : Trainer((config.check(), config), backend, world, Groups(config.mesh, world),
              std::move(samples), start) {}
Trainer::Trainer(const TrainConfig& config, Backend& backend, Comm& world, Groups groups,
                 Samples samples, Start start)
    : parts_(std::make_unique<Parts>(config, backend, world, std::move(groups), std::move(samples),
                                     start)) {}
Trainer::~Trainer() = default;

StepReport Trainer::step(Wishes mine) {
  Parts& p = *parts_;
  const auto begin = Clock::now();
  const auto begin_on_device = p.clock.moment();
  const Verdict verdict = p.vote.collect(p.gradients(), mine);
  // The vote has waited for the device: nothing here waits any more.
  p.timeline = spans_of(p.last_pass, p.clock, *begin_on_device);
  p.last_pass.clear();
  require(verdict.tokens > 0, "no token of step {} counts: its batch has only masked targets",
          p.next_step);
  StepReport report;
  report.step = p.next_step;
  report.loss = verdict.loss();
  report.tokens = verdict.tokens;
  report.read = p.batches.sequences(p.next_step) * p.config.tokens_per_sequence();
  report.grad_norm = verdict.grad_norm();
  report.rate = p.config.rate.at(p.next_step);
  report.agreed = verdict.agreed;
  report.skipped = verdict.bad();
  if (report.skipped) {
    p.count_skip();
  } else {
    p.skipped_in_a_row = 0;
    const float clip = clip_factor(static_cast<float>(report.grad_norm), p.config.adam.clip_norm);
    p.zero->update(p.next_step, static_cast<float>(report.rate),
                   clip / static_cast<float>(verdict.tokens));
  }
  report.skipped_in_a_row = p.skipped_in_a_row;
  ++p.next_step;
  report.seconds = seconds_since(begin);
  return report;
}

void Trainer::rehearse_step() {
  parts_->gradients();
  parts_->zero->update(parts_->next_step++, 0, 0);
}

double Trainer::validate(const Samples& samples, int64_t first, int64_t count) {
  return examine(samples, first, count).loss;
}

Trainer::Examination Trainer::examine(const Samples& samples, int64_t first, int64_t count) {
  Parts& p = *parts_;
  auto micros = p.my_part(first, count);
  const int passes = static_cast<int>(micros.size());
  const Program program = program_of(forward_only(p.config.mesh.pp, passes, p.config.chunks),
                                     passes, false, p.groups.place.pp);
  p.vote.clear();
  Pass pass{samples, std::move(micros), false, p.my_loss_sum(), first};
  if (p.config.task)
    pass.scores =
        p.backend.zeros({count / p.sequences_per_example(), p.config.task->outputs()}, DType::f32);
  const int64_t counted = p.run_pass(program, pass);
  Examination found{p.vote.collect(counted, {}).loss(), p.everyones(pass.scores)};
  return found;
}

void Trainer::ask(const std::function<void(Reader&)>& asks) {
  Parts& p = *parts_;
  const auto split_rows = [&](bool yes) {
    p.context.sequence_parallel = yes;
    for (ModelStage& stage : p.stages) stage.layers().set_sequence_parallel(yes);
  };
  std::vector<GptStage*> layers;
  for (ModelStage& stage : p.stages) layers.push_back(&stage.layers());
  split_rows(false);
  Reader reader(p.config.model, layers, p.context, *p.groups.pp);
  asks(reader);
  split_rows(p.config.sequence_parallel);
}

int64_t Trainer::next_step() const { return parts_->next_step; }

void Trainer::resume(int64_t next) {
  parts_->zero->values_from_masters();
  parts_->next_step = next;
}

const TrainConfig& Trainer::config() const { return parts_->config; }
const BatchPlan& Trainer::batches() const { return parts_->batches; }
Params& Trainer::params() { return parts_->params; }
Zero& Trainer::optimizer() { return *parts_->zero; }
const Groups& Trainer::groups() const { return parts_->groups; }
const std::vector<Span>& Trainer::timeline() const { return parts_->timeline; }

std::vector<MemoryLine> Trainer::memory() const {
  const Parts& p = *parts_;
  int64_t values = 0, grads = 0;
  for (const Bucket& bucket : parts_->params.buckets()) {
    values += bucket.value.bytes();
    grads += bucket.grad.bytes();
  }
  for (const Bucket& bucket : parts_->params.frozen()) values += bucket.value.bytes();
  const int64_t mine = parts_->params.elements();  // 1 / (tp pp), ends and ties aside
  const int64_t trained = parts_->params.trained_elements();
  const int64_t state = p.config.precision == DType::f32 ? 8 : 12;  // m, v, and an fp32 master
  return {{"weights", mine * bytes_of(p.config.precision), values},
          {"gradients", trained * bytes_of(DType::f32), grads},
          {"optimizer", trained * state / p.config.mesh.dp, p.zero->state_bytes()}};
}

}  // namespace katman
