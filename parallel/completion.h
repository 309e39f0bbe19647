// When is a bucket of gradients complete?
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <set>
#include <vector>

#include "core/params.h"

namespace katman {

// Counts down, bucket by bucket, which parts of the model may still add to its gradients. A part is
// a number: a layer, or what a stage holds besides layers.
class Completion {
 public:
  // part_of: the part that adds to a parameter's gradient.
  Completion(const std::deque<Bucket>& buckets, const std::function<int(const Param*)>& part_of);

  // A step begins: every part may add to every bucket.
  void begin();
  // `part` adds nothing more in this step; calls ready(bucket) for every bucket that this
  // completes. Saying so twice does nothing.
  void done(int part, const std::function<void(size_t bucket)>& ready);

 private:
  std::vector<std::set<int>> parts_, open_;  // [bucket], all of them and those not done
};

}  // namespace katman
