#include "orchestrator/bench/peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>
#include <vector>

#include "core/random.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Numbers that cost a device as much power as real ones: a product of zeros runs at higher clocks.
Tensor noise(Backend& backend, const Shape& shape, DType dtype) {
  constexpr size_t period = 8191;  // no multiple of anything that a product is cut into
  std::array<float, period> some;
  for (size_t i = 0; i < period; ++i) some[i] = 2 * random_uniform(Key(1), i) - 1;
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = some[i % period];
  const Tensor wide = backend.empty(shape, DType::f32), t = backend.empty(shape, dtype);
  backend.upload(values.data(), wide);
  backend.cast(wide, t);
  return t;
}

}  // namespace

double fastest_seconds(Backend& backend, const std::function<void()>& enqueue, double seconds) {
  const auto in_a_row = [&](int calls) {
    const auto begin = Clock::now();
    for (int call = 0; call < calls; ++call) enqueue();
    backend.sync();
    return seconds_since(begin) / calls;
  };
  in_a_row(1);  // packs, compiles, warms up
  const int calls = std::clamp(static_cast<int>(0.005 / in_a_row(1)), 1, 1000);
  double best = 1e30;
  const auto begin = Clock::now();
  do best = std::min(best, in_a_row(calls));
  while (seconds_since(begin) < seconds);
  return best;
}

double measured_peak_flops(Backend& backend, DType dtype, int64_t size, double seconds) {
  Gemm product;
  product.a = noise(backend, {size, size}, dtype);
  product.b = noise(backend, {size, size}, dtype);
  product.c = backend.empty({size, size}, dtype);
  product.b_transposed = true;
  product.b_is_weight = true;
  backend.weights_changed();
  const double best = fastest_seconds(
      backend, [&] { backend.gemm(product); }, seconds);
  backend.weights_changed();  // forget the packed copy of a matrix that is about to go
  const double n = static_cast<double>(size);
  return 2 * n * n * n / best;
}

int64_t peak_size_on(const std::string& device_name, int64_t wanted) {
  return device_name.starts_with("reference") ? std::min<int64_t>(wanted, 256) : wanted;
}

double nominal_peak_flops(const std::string& device_name) {
  // Data sheets, without sparsity.
  constexpr std::array<std::pair<const char*, double>, 6> known = {{{"H100 PCIe", 756e12},
                                                                    {"H100", 989.4e12},
                                                                    {"H200", 989.4e12},
                                                                    {"GH200", 989.4e12},
                                                                    {"A100", 312e12},
                                                                    {"L40S", 362e12}}};
  for (const auto& [part, flops] : known)
    if (device_name.find(part) != std::string::npos) return flops;
  return 0;
}

}  // namespace katman
