#include <cmath>
#include <optional>

#include "parallel/batch.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/schedule.h"
#include "parallel/pipeline/transfers.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

void at_least(const char* field, int64_t value, int64_t least) {
  require_usage(value >= least, "{} = {} must be at least {}", field, value, least);
}

// Far beyond what anyone has trained, and still far from where products of sizes overflow.
void check_sizes(const GptConfig& model) {
  const auto at_most = [](const char* field, int64_t value, int64_t most) {
    require_usage(value <= most, "{} = {} is beyond any machine; use at most {}", field, value,
                  most);
  };
  at_most("model.layers", model.layers, 10'000);
  at_most("model.hidden", model.hidden, 1 << 18);
  at_most("model.feed_forward", model.ff(), 1 << 20);
  at_most("model.sequence", model.sequence, 1 << 24);
  at_most("model.vocabulary", model.vocabulary, 1 << 24);
}

// Every replica's share must be a number of micro-batches that there is a schedule for; one from a
// file says how many it is for.
void check_schedule(const TrainConfig& config) {
  constexpr size_t most = 16383;
  for (const int replica : {0, config.mesh.dp - 1}) {
    const size_t micros =
        cut_batch(0, config.batch_sequences, replica, config.mesh.dp, config.micro_batch).size();
    require_usage(micros <= most,
                  "a replica's share of the batch is {} micro-batches of data.micro_batch = {} "
                  "sequences; use larger ones or a smaller data.batch_tokens, for at most {}",
                  micros, config.micro_batch, most);
    if (micros == 0) continue;
    const bool from_file = config.schedule.starts_with("file:");
    const int some = from_file ? static_cast<int>(micros) : 1;  // the kinds take any number
    const Schedule schedule = config.schedule_over(some);
    if (from_file) verify(with_comms(schedule), some);
  }
}

bool fits(const GptConfig& model, const Mesh& mesh, int chunks) try {
  model.check(mesh.tp, mesh.pp * chunks);
  return true;
} catch (const UsageError&) {
  return false;
}

// How far one mesh is from another: factors of two along the axes.
double distance(const Mesh& a, const Mesh& b) {
  return std::abs(std::log2(1.0 * a.tp / b.tp)) + std::abs(std::log2(1.0 * a.pp / b.pp));
}

// Of the meshes that the model can be cut over, the nearest with as many ranks, else with fewer.
std::optional<Mesh> nearest_mesh(const GptConfig& model, const Mesh& wanted, int chunks) {
  std::optional<Mesh> nearest;
  for (int ranks = wanted.size(); ranks >= 1 && !nearest; --ranks)
    for (int tp = 1; tp <= ranks; ++tp)
      for (int pp = 1; tp * pp <= ranks; ++pp) {
        const Mesh mesh{tp, ranks / (tp * pp), pp};
        if (mesh.size() != ranks || !fits(model, mesh, chunks)) continue;
        if (!nearest || distance(mesh, wanted) < distance(*nearest, wanted)) nearest = mesh;
      }
  return nearest;
}

void check_mesh(const GptConfig& model, const Mesh& mesh, int chunks) try {
  model.check(mesh.tp, mesh.pp * chunks);
} catch (const UsageError& error) {
  const auto nearest = nearest_mesh(model, mesh, chunks);
  if (!nearest) throw;
  throw UsageError(
      fmt::format("{} (the nearest mesh that fits: {})", error.what(), to_string(*nearest)));
}

}  // namespace

void TrainConfig::check() const {
  at_least("mesh.tp", mesh.tp, 1);
  at_least("mesh.dp", mesh.dp, 1);
  at_least("mesh.pp", mesh.pp, 1);
  at_least("mesh.chunks", chunks, 1);
  check_sizes(model);
  check_mesh(model, mesh, chunks);
  at_least("steps", steps, 1);
  at_least("sequences per batch", batch_sequences, 1);
  batches();  // refuses a ramp that cannot be
  at_least("data.micro_batch", micro_batch, 1);
  at_least("elements per bucket", bucket_elements, 1);
  require_usage(precision == DType::f32 || precision == DType::bf16,
                "training is in F32 or BF16, not in {}", name_of(precision));
  require_usage(!fp8 || precision == DType::bf16,
                "8-bit products belong to training in BF16, not in {}", name_of(precision));
  const int64_t tokens = tokens_per_sequence();
  require_usage(tokens >= 1 && tokens <= model.sequence,
                "sequences of {} tokens do not fit into the model's {} positions", tokens,
                model.sequence);
  require_usage(!sequence_parallel || tokens % mesh.tp == 0,
                "model.sequence = {} cannot be split over mesh.tp = {}; use {}, or turn "
                "mesh.sequence_parallel off",
                tokens, mesh.tp, tokens / mesh.tp * mesh.tp);
  if (lora.rank)
    require_usage(lora.rank > 0 && lora.alpha > 0 && !lora.on.empty(),
                  "adapters of rank {} with alpha {} on {} kinds of matrices train nothing",
                  lora.rank, lora.alpha, lora.on.size());
  if (task) {
    at_least("sequences of an example", task->sequences, 1);
    require_usage(batch_sequences % task->sequences == 0,
                  "a batch of {} sequences does not hold whole examples of {}", batch_sequences,
                  task->sequences);
    at_least("data.micro_batch", micro_batch, task->sequences);
  }
  check_schedule(*this);
}

Schedule TrainConfig::schedule_over(int micros) const {
  std::vector<int64_t> layers;
  for (const StageRange& range : split_layers(model, mesh.pp * chunks))
    layers.push_back(range.last_layer - range.first_layer);
  return make_schedule(schedule, mesh.pp, micros, chunks, layers);
}

int64_t TrainConfig::state_bytes() const {
  const bool fp32 = precision == DType::f32;
  // Of the weights and their gradients every replica has its own; of the moments and, unless it is
  // the weights themselves, the fp32 master there is one.
  const int64_t per_replica = bytes_of(precision) + bytes_of(DType::f32), once = fp32 ? 8 : 12;
  if (lora.rank) return model.parameters() * mesh.dp * bytes_of(precision);  // adapters are small
  return model.parameters() * (mesh.dp * per_replica + once);
}

}  // namespace katman
