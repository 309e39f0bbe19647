// The protocol of the model's parts: explicit forward and backward pairs over a tape.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/backend.h"
#include "core/comm.h"
#include "core/model/lora.h"
#include "core/tensor.h"

namespace katman {

// Keys and values of the tokens already seen, for generation. One per attention module.
struct KvCache {
  Tensor k, v;  // [sequences, capacity, groups, head_dim]
};

// The micro-batch that is passing through: what a module may need to know besides its input.
struct Micro {
  int64_t sequences = 0,
          length =
              0;  // rows of an activation = sequences * length (/ tp when the sequence is split)
  int64_t first_sequence =
      0;                 // global number of the first sequence since step 0: names dropout masks
  bool training = true;  // dropout on
  Tensor document_start = {};  // i32 [rows], optional: attention stays inside documents
  // i32 [rows], optional: the position that a row's learned vector is looked up by; else past of
  // the first sequence + row % length. Rotary positions need none: a document sees its own
  // differences alone.
  Tensor places = {};
  std::vector<int64_t> pasts = {};         // [sequence], tokens before this call; empty: none
  std::vector<KvCache>* caches = nullptr;  // [layer of this stage]; not null when generating

  int64_t past(int64_t sequence) const {
    return pasts.empty() ? 0 : pasts[static_cast<size_t>(sequence)];
  }
  int64_t longest_past() const { return pasts.empty() ? 0 : std::ranges::max(pasts); }
};

// What one micro-batch remembers from its forward pass for its backward pass: a stack. It must be
// empty when the backward pass is through.
class Tape {
 public:
  explicit Tape(Micro micro, bool recording = true)
      : micro(std::move(micro)), recording_(recording) {}

  const Micro micro;

  bool recording() const { return recording_; }
  void push(Tensor t) {
    if (recording_) saved_.push_back(std::move(t));
  }
  Tensor pop() {
    require(!saved_.empty(), "a backward pass took more from its tape than its forward pass left");
    Tensor t = std::move(saved_.back());
    saved_.pop_back();
    return t;
  }
  // Weight gradients may be postponed (zero-bubble schedules): with defer on, `work` runs at
  // flush().
  void later(std::function<void()> work) {
    if (defer_) {
      postponed_.push_back(std::move(work));
    } else {
      work();
    }
  }
  void defer(bool on) { defer_ = on; }
  void flush() {
    for (auto& work : postponed_) work();
    postponed_.clear();
  }
  bool empty() const { return saved_.empty() && postponed_.empty(); }
  size_t size() const { return saved_.size(); }

 private:
  bool recording_;
  bool defer_ = false;
  std::vector<Tensor> saved_;
  std::vector<std::function<void()>> postponed_;
};

// x and y are activations [rows, columns]. backward takes the x that forward was given (who calls
// decides whether to keep it or to compute it again), pops exactly what forward pushed, adds to the
// gradients of the module's parameters and returns dx.
class Module {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x, Tape& tape) = 0;
  virtual Tensor backward(const Tensor& dy, const Tensor& x, Tape& tape) = 0;
};

// What modules are built with: the device, the tensor group, and how activations are kept. Modules
// keep a reference to it.
struct ModelContext {
  Backend& backend;
  Comm& tp;
  DType activation = DType::bf16;  // also the type of the parameters' values
  bool sequence_parallel = false;  // activations between tensor-parallel parts hold rows / tp
  Key seed;
  Lora lora = {};
  bool fp8 = false;  // products of linear layers round their operands: see core/model/linear.h

  Tensor empty(const Shape& shape) const { return backend.empty(shape, activation); }
};

}  // namespace katman
