#include "parallel/plan/plan.h"

#include <algorithm>
#include <numeric>

#include "parallel/pipeline/simulate.h"

namespace katman {
namespace {

// Tokens whose values nobody looks at.
void any_tokens(uint64_t, const Sequence& out) {
  for (const auto& row : {out.ids, out.targets, out.document_start, out.extract, out.label})
    std::ranges::fill(row, 0);
}

// Replicas that differ in how many sequences of a batch are theirs: two kinds at most, the one with
// more first.
std::vector<int> kinds_of_replicas(const TrainConfig& config) {
  const auto share = [&](int dp) {
    return config.batch_sequences * (dp + 1) / config.mesh.dp -
           config.batch_sequences * dp / config.mesh.dp;
  };
  const int last = config.mesh.dp - 1;  // its share is rounded up
  for (int dp = 0; dp < last; ++dp)
    if (share(dp) != share(last)) return {last, dp};
  return {last};
}

int64_t snapshot_bytes(Trainer& trainer) {
  int64_t bytes = 0;
  for (const Piece& piece : trainer.optimizer().pieces())
    if (piece.owned) bytes += piece.data.bytes();
  return bytes;
}

StagePlan plan_rank(const TrainConfig& config, const DeviceHabits& habits, const Place& place) {
  const int rank = config.mesh.rank(place);
  StagePlan plan;
  plan.stage = place.pp;
  plan.ranks = config.mesh.tp * config.mesh.dp;
  RehearsalBackend device(habits);
  const auto world = rehearsal_world(config.mesh, rank);
  Trainer trainer(config, device, *world, rehearsal_groups(config.mesh, rank, plan.traffic),
                  any_tokens, Start::from_checkpoint);
  trainer.validate(any_tokens, 0, config.batch_sequences);
  plan.forward = device.effort();
  plan.traffic = {};
  device.pool().reset_peak();
  trainer.rehearse_step();
  plan.step = device.effort() - plan.forward;
  const auto lines = trainer.memory();
  plan.weights = lines[0].allocated_bytes;
  plan.gradients = lines[1].allocated_bytes;
  plan.optimizer = lines[2].allocated_bytes;
  plan.snapshot = snapshot_bytes(trainer);
  plan.packed = device.most_packed_bytes();
  plan.logits = device.logits_bytes();
  const auto usage = device.pool().usage();
  plan.peak = usage.peak_bytes;
  plan.held = usage.held_bytes;
  plan.activations = std::max<int64_t>(
      0, plan.peak - plan.weights - plan.gradients - plan.optimizer - plan.packed - plan.logits);
  return plan;
}

// The effort of the replica that has most to do, in the memory of the one that needs most: uneven
// micro-batches take blocks of two sizes.
StagePlan plan_stage(const TrainConfig& config, const DeviceHabits& habits, int stage) {
  StagePlan most;
  for (const int replica : kinds_of_replicas(config)) {
    StagePlan plan = plan_rank(config, habits, {0, replica, stage});
    if (plan.held <= most.held) continue;
    if (most.held > 0) {
      plan.forward = most.forward;
      plan.step = most.step;
      plan.traffic = most.traffic;
    }
    most = plan;
  }
  return most;
}

double seconds_of(const Effort& effort, const DeviceSpeed& speed) {
  return effort.product_flops / speed.flops + effort.moved_bytes / speed.bytes;
}

const char* word_for(Recompute recompute) {
  return recompute == Recompute::none        ? "none"
         : recompute == Recompute::selective ? "selective"
                                             : "full";
}

std::string change_between(const TrainConfig& a, const TrainConfig& b) {
  std::string change;
  const auto add = [&](const char* field, const auto& before, const auto& after) {
    if (before != after) change += fmt::format("{}{}={}", change.empty() ? "" : " ", field, after);
  };
  add("data.micro_batch", a.micro_batch, b.micro_batch);
  add("mesh.recompute", std::string(word_for(a.recompute)), std::string(word_for(b.recompute)));
  add("mesh.tp", a.mesh.tp, b.mesh.tp);
  add("mesh.dp", a.mesh.dp, b.mesh.dp);
  add("mesh.pp", a.mesh.pp, b.mesh.pp);
  return change;
}

// This mesh, then meshes of two, four ... times as many ranks, along each axis.
std::vector<Mesh> larger_meshes(const Mesh& mesh) {
  std::vector<Mesh> meshes = {mesh};
  for (int factor = 2; factor <= 64; factor *= 2) {
    meshes.push_back({mesh.tp * factor, mesh.dp, mesh.pp});
    meshes.push_back({mesh.tp, mesh.dp, mesh.pp * factor});
    meshes.push_back({mesh.tp, mesh.dp * factor, mesh.pp});
  }
  return meshes;
}

bool possible(const TrainConfig& config) try {
  config.check();
  return config.batch_sequences >= config.mesh.dp;
} catch (const UsageError&) {
  return false;
}

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

std::vector<StagePlan> plan_run(const TrainConfig& config, const std::string& device_kind) {
  config.check();
  std::vector<StagePlan> plan;
  for (int stage = 0; stage < config.mesh.pp; ++stage)
    plan.push_back(plan_stage(config, habits_of(device_kind), stage));
  return plan;
}

int64_t needed_bytes(const std::vector<StagePlan>& plan, bool on_host) {
  int64_t most = 0;
  for (const StagePlan& stage : plan)
    most = std::max(most, stage.held + (on_host ? stage.snapshot : 0));
  return most;
}

std::optional<Nearest> nearest_that_fits(const TrainConfig& config, const std::string& device_kind,
                                         int64_t bytes) {
  const bool on_host = !device_kind.starts_with("cuda");
  const auto fitting = [&](const Mesh& mesh, Recompute recompute,
                           int64_t micro) -> std::optional<Nearest> {
    TrainConfig candidate = config;
    candidate.mesh = mesh;
    candidate.recompute = recompute;
    candidate.micro_batch = micro;
    if (!possible(candidate)) return {};
    const int64_t needed = needed_bytes(plan_run(candidate, device_kind), on_host);
    if (needed > bytes) return {};
    return Nearest{candidate, needed, change_between(config, candidate)};
  };
  for (const Mesh& mesh : larger_meshes(config.mesh)) {
    const auto least = fitting(mesh, Recompute::full, 1);
    if (!least) continue;
    for (Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      if (recompute < config.recompute) continue;
      for (int64_t micro = config.micro_batch; micro >= 1; micro /= 2)
        if (const auto nearest = fitting(mesh, recompute, micro)) return nearest;
    }
  }
  return std::nullopt;
}

void require_fit(const TrainConfig& config, const std::string& device_kind, int64_t bytes,
                 const std::string& whose) {
  const bool on_host = !device_kind.starts_with("cuda");
  const int64_t needed = needed_bytes(plan_run(config, device_kind), on_host);
  if (needed <= bytes) return;
  const auto nearest = nearest_that_fits(config, device_kind, bytes);
  const std::string remedy =
      nearest
          ? fmt::format("the nearest that fits needs {:.2f} GB: --set {}",
                        gigabytes(nearest->bytes), nearest->change)
          : "no micro-batch, recomputation or mesh of up to 64 times as many ranks makes it fit: "
            "choose a smaller model";
  throw UsageError(
      fmt::format("a rank of this run needs {:.2f} GB, and {} has {:.2f} GB for it; {}",
                  gigabytes(needed), whose, gigabytes(bytes), remedy));
}

StepTime estimate_step(const TrainConfig& config, const std::vector<StagePlan>& plan,
                       const DeviceSpeed& speed) {
  const auto micros =
      static_cast<int>(cut_batch(0, config.batch_sequences, kinds_of_replicas(config)[0],
                                 config.mesh.dp, config.micro_batch)
                           .size());
  const double parts = static_cast<double>(micros) * config.chunks;
  std::vector<double> forward, backward;
  for (const StagePlan& stage : plan) {
    forward.push_back(seconds_of(stage.forward, speed) / parts);
    backward.push_back(seconds_of(stage.step, speed) / parts - forward.back());
  }
  const double ranks = static_cast<double>(plan.size());
  Costs costs;
  costs.forward_s = std::accumulate(forward.begin(), forward.end(), 0.0) / ranks;
  const double both = std::accumulate(backward.begin(), backward.end(), 0.0) / ranks;
  costs.backward_input_s = costs.backward_weight_s = both / 2;
  for (int stage = 0; stage < config.mesh.pp * config.chunks; ++stage) {
    const auto rank = static_cast<size_t>(rank_of(stage, config.mesh.pp));
    costs.stage_factor.push_back((forward[rank] + backward[rank]) / (costs.forward_s + both));
  }
  const auto simulation = simulate(config.schedule_over(micros), costs);
  return {simulation.timeline.makespan_s(), simulation.timeline.bubble()};
}

}  // namespace katman
