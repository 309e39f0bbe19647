#include "core/model/dropout.h"

namespace katman {

void Dropout::forward(const Tensor& x, const Micro& micro) const {
  if (p_ == 0 || !micro.training) return;
  const int64_t first_mine = context_.sequence_parallel ? context_.tp.rank() * x.extent(0) : 0;
  context_.backend.dropout(x, p_, key_, micro.first_sequence * micro.length + first_mine, 0,
                           x.extent(1));
}

Tensor Dropout::backward(const Tensor& dy, const Micro& micro) const {
  if (p_ == 0 || !micro.training) return dy;
  const Tensor dx = context_.empty(dy.shape());
  context_.backend.copy(dy, dx);
  forward(dx, micro);
  return dx;
}

}  // namespace katman
