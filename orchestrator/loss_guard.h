// Tells a loss that is a spike from one that is not.
#pragma once

#include <cstdint>

namespace katman {

// Compares each loss with the mean of the recent ones. Its two numbers are saved with the run, so
// that a run which was interrupted judges as one that was not, and all ranks judge alike.
class LossGuard {
 public:
  // A spike is above `factor` times the recent mean; 0: nothing is.
  explicit LossGuard(double factor, double mean = 0, int64_t seen = 0)
      : factor_(factor), mean_(mean), seen_(seen) {}

  // Whether this loss is a spike; if not, it counts in the mean from now on. Not for NaN.
  bool is_spike(double loss);

  double mean() const { return mean_; }  // of about the last fifty
  int64_t seen() const { return seen_; }

 private:
  double factor_, mean_;
  int64_t seen_;
};

}  // namespace katman
