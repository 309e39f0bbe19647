#include "parallel/pipeline/schedule.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

void at_least(const char* field, int64_t value, int64_t least) {
  require_usage(value >= least, "{} = {} must be at least {}", field, value, least);
}

}  // namespace

void TrainConfig::check() const {
  at_least("mesh.tp", mesh.tp, 1);
  at_least("mesh.dp", mesh.dp, 1);
  at_least("mesh.pp", mesh.pp, 1);
  at_least("mesh.chunks", chunks, 1);
  model.check(mesh.tp, mesh.pp * chunks);
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
