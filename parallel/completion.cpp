#include "parallel/completion.h"

namespace katman {

Completion::Completion(const std::deque<Bucket>& buckets,
                       const std::function<int(const Param*)>& part_of) {
  for (const Bucket& bucket : buckets) {
    auto& parts = parts_.emplace_back();
    for (const Param* param : bucket.params) parts.insert(part_of(param));
  }
}

void Completion::begin() { open_ = parts_; }

void Completion::done(int part, const std::function<void(size_t bucket)>& ready) {
  for (size_t bucket = open_.size(); bucket-- > 0;)
    if (open_[bucket].erase(part) && open_[bucket].empty()) ready(bucket);
}

}  // namespace katman
