#include <cmath>
#include <optional>

#include "parallel/pipeline/schedule.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

void at_least(const char* field, int64_t value, int64_t least) {
  require_usage(value >= least, "{} = {} must be at least {}", field, value, least);
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
  check_mesh(model, mesh, chunks);
  at_least("steps", steps, 1);
  at_least("sequences per batch", batch_sequences, 1);
  at_least("data.micro_batch", micro_batch, 1);
  at_least("elements per bucket", bucket_elements, 1);
  require_usage(precision == DType::f32 || precision == DType::bf16,
                "training is in F32 or BF16, not in {}", name_of(precision));
  require_usage(!sequence_parallel || model.sequence % mesh.tp == 0,
                "model.sequence = {} cannot be split over mesh.tp = {}; use {}, or turn "
                "mesh.sequence_parallel off",
                model.sequence, mesh.tp, model.sequence / mesh.tp * mesh.tp);
  if (!schedule.starts_with("file:")) make_schedule(schedule, mesh.pp, 1, chunks);
}

}  // namespace katman
