// An ordered group of ranks that exchange tensors.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/tensor.h"

namespace katman {

// A transfer in flight. wait() orders later work on the device after it, and throws what went
// wrong.
class [[nodiscard]] Work {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual void wait() = 0;
  };
  Work() = default;  // already done
  explicit Work(std::unique_ptr<State> state) : state_(std::move(state)) {}
  void wait() {
    if (auto state = std::move(state_)) state->wait();
  }

 private:
  std::unique_ptr<State> state_;
};

// Sums only, in place where the shapes allow it. Every member of the group calls the same
// operations in the same order with the same sizes and types; every wait has a deadline, after
// which it throws an Error that names the group, the operation, its sequence number and who is
// missing. Types: f32 and bf16 (bf16 sums are formed in f32 and rounded once), i32 and u8 for what
// only moves. Tensors must stay alive and untouched until wait().
class Comm {
 public:
  virtual ~Comm() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const std::string& name() const = 0;  // "tp of rank 3", for messages

  // Ranks with the same color form a group, ordered by key, then by rank here. Collective.
  virtual std::unique_ptr<Comm> split(int color, int key, const std::string& name) = 0;

  virtual Work all_reduce(const Tensor& t) = 0;  // t = sum over ranks of t
  virtual Work all_gather(const Tensor& mine,
                          const Tensor& all) = 0;  // all [size * |mine|]; mine may be its slice
  virtual Work reduce_scatter(
      const Tensor& all,
      const Tensor& mine) = 0;  // mine = my slice of the sum; may be a slice of all
  virtual Work send(const Tensor& t,
                    int to) = 0;  // order between two ranks pairs sends with receives: no tags
  virtual Work recv(const Tensor& t, int from) = 0;
  virtual void barrier() = 0;
};

}  // namespace katman
