// Entering and leaving a tensor-parallel region. With sequence parallelism (Korthikanti et al.,
// 2022) each rank holds rows / tp of an activation outside such regions and all rows inside;
// without it every rank holds all rows everywhere.
#pragma once

#include "core/model/module.h"

namespace katman {

// A tensor on its way; arrived() waits for it. The source is kept alive until then.
class [[nodiscard]] Arriving {
 public:
  Arriving(Tensor tensor, Tensor source, Work work)
      : tensor_(std::move(tensor)), source_(std::move(source)), work_(std::move(work)) {}
  Tensor arrived() {
    work_.wait();
    source_ = {};
    return tensor_;
  }

 private:
  Tensor tensor_, source_;
  Work work_;
};

// Entering: all rows, from my rows [rows / tp, columns] (or x itself, which has them all).
Arriving gather_rows(const ModelContext& context, const Tensor& x);

// Leaving: the sum over ranks of `partial` [rows, columns], my rows of it under sequence
// parallelism. May overwrite `partial`.
Arriving reduce_rows(const ModelContext& context, const Tensor& partial);

}  // namespace katman
