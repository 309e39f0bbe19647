#include "orchestrator/bench/peak.h"

#include <algorithm>
#include <chrono>

namespace katman {

double fastest_seconds(Backend& backend, const Gemm& product, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto once = [&] {
    const auto begin = Clock::now();
    backend.gemm(product);
    backend.sync();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  once();  // packs, compiles, warms up
  double best = 1e30;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do best = std::min(best, once());
  while (Clock::now() < end);
  return best;
}

double measured_peak_flops(Backend& backend, DType dtype, int64_t size, double seconds) {
  Gemm product;
  product.a = backend.zeros({size, size}, dtype);
  product.b = backend.zeros({size, size}, dtype);
  product.c = backend.empty({size, size}, dtype);
  product.b_transposed = true;
  product.b_is_weight = true;
  backend.weights_changed();
  const double best = fastest_seconds(backend, product, seconds);
  backend.weights_changed();  // forget the packed copy of a matrix that is about to go
  const double n = static_cast<double>(size);
  return 2 * n * n * n / best;
}

}  // namespace katman
