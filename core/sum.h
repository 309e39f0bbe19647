// The one definition of a sum over ranks, shared by everything that adds on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace katman {

// out[i] = parts[0][i] + parts[1][i] + ... in that order, formed in f32 and rounded once, so that
// the result depends neither on timing nor on where a slice begins. f32 and bf16 only; out may be
// one of the parts.
void sum_parts(std::span<const std::byte* const> parts, DType type, int64_t elements,
               std::byte* out);

// Throws unless sums of this type are defined. `who` opens the sentence.
void require_summable(DType type, const std::string& who);

}  // namespace katman
