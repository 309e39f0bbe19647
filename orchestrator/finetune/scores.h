// How good answers are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace katman {

// Which classes were said where which were right.
class Confusion {
 public:
  explicit Confusion(int64_t classes);
  void add(int64_t right, int64_t said);

  double accuracy() const;
  // 2 tp / (2 tp + fp + fn) of one class; 0 for one that neither is nor was said.
  double f1(int64_t of) const;
  double macro_f1() const;  // the mean over classes
  // Matthews correlation; for more than two classes as generalised by Gorodkin, 2004. 0 where all
  // examples, or all answers, are of one class.
  double matthews() const;

 private:
  int64_t count(int64_t right, int64_t said) const {
    return counts_[static_cast<size_t>(right * classes_ + said)];
  }
  int64_t right(int64_t of) const;  // examples of a class
  int64_t said(int64_t of) const;

  int64_t classes_;
  std::vector<int64_t> counts_;  // [right][said]
  int64_t total_ = 0, agreed_ = 0;
};

// softmax of one example's logits.
std::vector<double> probabilities(std::span<const float> logits);

}  // namespace katman
