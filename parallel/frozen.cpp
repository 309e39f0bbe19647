#include "parallel/frozen.h"

namespace katman {

std::vector<Piece> frozen_pieces(const Params& params, Backend& backend, const Groups& groups,
                                 Key seed) {
  std::vector<Piece> pieces;
  for (const Param& param : params.all()) {
    if (!param.frozen) continue;
    const std::vector<float> values = initial_values(param, seed);
    const Tensor data = backend.empty({param.mine.elements()}, DType::f32);
    backend.upload(values.data(), data);
    const bool owned = groups.dp->rank() == 0 && (!param.replicated || groups.tp->rank() == 0) &&
                       (!param.tied || groups.embedding->rank() == 0);
    pieces.push_back({Piece::What::master, param.name, param.global, param.mine, data, owned});
  }
  return pieces;
}

void set_frozen(Params& params, Backend& backend, const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    const Tensor value = params.at(piece.name).value.flat();
    if (value.dtype() == DType::f32)
      backend.copy(piece.data, value);
    else
      backend.cast(piece.data, value);
  }
  backend.weights_changed();
}

}  // namespace katman
