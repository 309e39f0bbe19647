// The batches of a fine-tuning run in as few sequences as they fit into.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace katman {

// A batch of examples is a batch of examples, packed or not: each is packed by itself, into the
// number of sequences that the run's worst batch needs, so that a step is the same step with less
// padding. What a batch does not need of them is empty.
class BatchPacking {
 public:
  struct Run {
    std::vector<int64_t> lengths;               // [example], in tokens
    std::function<int64_t(int64_t)> at;         // the example at a place of the run's order
    int64_t batch = 1, steps = 1;               // examples of a step, steps
    int64_t least_length = 1, most_length = 1;  // of a sequence; the least holds every example
    int64_t shares = 1;                         // ranks that should each have a sequence at a time
  };
  explicit BatchPacking(Run run);

  int64_t length() const { return length_; }        // tokens of a sequence
  int64_t sequences() const { return sequences_; }  // of a batch
  // Share of the tokens of an epoch; and if every example had a sequence of its own.
  double padding() const { return padding(sequences_, length_); }
  double padding_alone() const { return padding(run_.batch, run_.least_length); }
  // The examples in sequence `number` of the run.
  std::vector<int64_t> examples(int64_t number) const;

 private:
  std::vector<std::vector<int64_t>> packed(int64_t step, int64_t length) const;
  double padding(int64_t sequences, int64_t length) const;
  // Sequences, by the worst of the first steps.
  int64_t needed(int64_t steps, int64_t length) const;

  // All sequences of a step are asked for one after another.
  struct Newest {
    std::mutex mutex;
    int64_t step = -1;
    std::vector<std::vector<int64_t>> sequences;
  };

  Run run_;
  int64_t length_, sequences_;
  std::unique_ptr<Newest> newest_ = std::make_unique<Newest>();
};

}  // namespace katman
