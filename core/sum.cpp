#include "core/sum.h"

#include <algorithm>
#include <array>

namespace katman {
namespace {

template <class T>
void sum_typed(std::span<const std::byte* const> parts, int64_t elements, std::byte* out) {
  constexpr int64_t block = 1024;  // stays in the first cache while all parts pass over it
  std::array<float, block> sums;
  for (int64_t begin = 0; begin < elements; begin += block) {
    const int64_t count = std::min(block, elements - begin);
    const auto* first = reinterpret_cast<const T*>(parts[0]) + begin;
    for (int64_t i = 0; i < count; ++i) sums[i] = static_cast<float>(first[i]);
    for (const std::byte* part : parts.subspan(1)) {
      const auto* more = reinterpret_cast<const T*>(part) + begin;
      for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<float>(more[i]);
    }
    auto* target = reinterpret_cast<T*>(out) + begin;
    for (int64_t i = 0; i < count; ++i) target[i] = T(sums[i]);
  }
}

}  // namespace

void sum_parts(std::span<const std::byte* const> parts, DType type, int64_t elements,
               std::byte* out) {
  if (parts.size() == 1 && parts[0] == out) return;  // already there
  if (type == DType::f32) {
    sum_typed<float>(parts, elements, out);
  } else {
    sum_typed<bf16>(parts, elements, out);
  }
}

void require_summable(DType type, const std::string& who) {
  require(type == DType::f32 || type == DType::bf16,
          "{}: sums are defined for F32 and BF16, not for {}", who, name_of(type));
}

}  // namespace katman
