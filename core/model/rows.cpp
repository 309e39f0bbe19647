#include "core/model/rows.h"

namespace katman {

Arriving gather_rows(const ModelContext& context, const Tensor& x) {
  if (!context.sequence_parallel) return {x, {}, Work()};
  const Tensor all = context.empty({x.extent(0) * context.tp.size(), x.extent(1)});
  return {all, x, context.tp.all_gather(x, all)};
}

Arriving reduce_rows(const ModelContext& context, const Tensor& partial) {
  if (!context.sequence_parallel) return {partial, {}, context.tp.all_reduce(partial)};
  const int64_t rows = partial.extent(0), ranks = context.tp.size();
  require(
      rows % ranks == 0,
      "{} rows of an activation cannot be split over {} tensor ranks: choose a micro-batch whose "
      "tokens they divide, or turn sequence parallelism off",
      rows, ranks);
  const Tensor mine = context.empty({rows / ranks, partial.extent(1)});
  return {mine, partial, context.tp.reduce_scatter(partial, mine)};
}

}  // namespace katman
