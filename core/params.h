// The parameters of what one rank holds: declared by the modules, laid out in flat buckets.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/box.h"
#include "core/random.h"
#include "core/tensor.h"

namespace katman {

// Where a parameter's first values come from: a function of (seed, name, global element).
struct Init {
  enum class Kind { zero, one, normal } kind = Kind::normal;
  float deviation = 0.02f;
};

// One named tensor of the model, and my box of it. `value` and `grad` are slices of a bucket.
struct Param {
  std::string name;  // global and layout-free: "h.3.mlp.up.weight"
  Shape global;
  Box mine;
  Init init;
  bool decay = true;  // weight decay applies (matrices; not biases and norms)
  bool replicated =
      false;  // every tp rank holds the same box: counted once in norms and checkpoints, and
              // its gradient is summed over tp when the sequence is split
  bool frozen = false;  // never trained: it has no gradient, and the optimizer knows nothing of it
  bool tied = false;    // held by the first and the last stage: gradients are summed over both
  // Rows of storage behind my box, so that matrix products see a round extent whatever the
  // vocabulary. They are zero and stay zero; no checkpoint holds them.
  int64_t spare_rows = 0;
  Tensor value;  // mine.shape(), fp32 or bf16
  Tensor grad;   // mine.shape(), fp32; a sum over tokens, not yet divided by their count
  Tensor padded_value, padded_grad;  // the same with the spare rows
};

// Flat storage for parameters that are treated alike. What no box covers (spare rows, the gaps that
// start every param on a cache line, the end) is zero, and every update leaves it zero.
struct Bucket {
  Tensor value, grad;            // [elements]
  std::vector<Param*> params;    // in order of their offsets
  std::vector<int64_t> offsets;  // [param], in elements: where its box begins, row-major
  bool decay = true;
};

// Owns all Params of one rank. Modules declare in their constructors, then allocate() is called
// once, and either initialise() or a checkpoint fills the values.
class Params {
 public:
  // The reference stays valid for the life of Params. Names are unique.
  Param& declare(Param param);
  // Before allocate(): those that `which` says are frozen.
  void freeze(const std::function<bool(const Param&)>& which);
  // Lays out buckets of about `bucket_elements` in order of declaration (one param is never cut),
  // with decay and no-decay params apart, each padded to a multiple of `pad_to` elements (lcm of
  // replica count and a cache line); everything is 0. Frozen params lie in buckets of their own
  // that have values alone. Of theirs, only vectors have a `grad`: one scratch for all, that norms
  // write to and nobody reads. Without `gradients`, who only asks the model saves their memory:
  // every `grad` is empty.
  void allocate(Backend& backend, DType value_type, int64_t bucket_elements, int64_t pad_to,
                bool gradients = true);
  // Fills the values with initial_values().
  void initialise(Backend& backend, Key seed);

  std::deque<Param>& all() { return params_; }
  const std::deque<Param>& all() const { return params_; }
  std::deque<Bucket>& buckets() { return buckets_; }  // of what is trained
  std::deque<Bucket>& frozen() { return frozen_; }
  Param* find(const std::string& name);  // nullptr when I do not hold it
  Param& at(const std::string& name);
  int64_t elements() const;          // of my boxes
  int64_t trained_elements() const;  // of those that are not frozen
  void zero_grads(Backend& backend);

 private:
  void lay_out(std::deque<Bucket>& buckets, Backend& backend, DType value_type,
               int64_t bucket_elements, int64_t pad_to, bool frozen, bool gradients);
  void share_scratch(Backend& backend);

  std::deque<Param> params_;
  std::deque<Bucket> buckets_, frozen_;
};

// The first fp32 values of my box: element e (row-major in the global tensor) is a function of
// (seed, name, e) alone, so every layout starts from the same model.
std::vector<float> initial_values(const Param& param, Key seed);
// Only elements [begin, end) of my box: what a rank that owns a slice of a bucket needs.
std::vector<float> initial_values(const Param& param, Key seed, int64_t begin, int64_t end);

}  // namespace katman
