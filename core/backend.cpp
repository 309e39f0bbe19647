#include "core/backend.h"

#include "core/cpu/cpu.h"
#include "core/cpu/reference.h"

namespace katman {

Tensor Backend::empty(const Shape& shape, DType dtype) {
  return Tensor(pool().take(shape.elements() * bytes_of(dtype)), 0, shape, dtype);
}

Tensor Backend::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  fill_zero(t);
  return t;
}

std::unique_ptr<Backend> make_backend(const std::string& kind, int threads) {
  require_usage(threads >= 0, "a backend cannot run on {} threads; 0 means all cores", threads);
  if (kind == "reference") return std::make_unique<ReferenceBackend>();
  if (kind == "cpu") return std::make_unique<CpuBackend>(threads);
  throw UsageError(
      fmt::format("there is no backend \"{}\" here; this build has: reference, cpu", kind));
}

}  // namespace katman
