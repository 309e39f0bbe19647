// Matrix products by oneDNN.
#pragma once

#include <cstdint>
#include <memory>

#include "core/backend.h"

namespace katman {

// The products of one backend: primitives are made once per shape and kept, weights packed once per
// update into the layout that their primitive asks for. Where the processor has no bf16 arithmetic
// (before AVX-512), bf16 operands are widened and multiplied in f32, then rounded once.
class Products {
 public:
  // Both outlive this.
  Products(Pool& pool, int threads);
  ~Products();

  // C = op(A) op(B), + C with `accumulate`, + bias when the epilogue has one. What else the
  // epilogue says is the caller's. A few rows times a weight go by core/cpu/few_rows.h.
  void run(const Gemm& g);
  // Packed weights are stale.
  void weights_changed();

  static const char* instruction_set();  // "avx512_core_bf16"

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace katman
