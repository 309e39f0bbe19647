#include "data_pipeline/corpus/masking.h"

#include "core/error.h"

namespace katman {

void document_starts(std::span<const int32_t> ids, int32_t end_of_document,
                     std::span<int32_t> starts) {
  require(starts.size() == ids.size(), "{} starts of documents for {} tokens", starts.size(),
          ids.size());
  int32_t start = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 && ids[i - 1] == end_of_document) start = static_cast<int32_t>(i);
    starts[i] = start;
  }
}

void InputMask::apply(uint64_t sample, std::span<int32_t> ids, std::span<int32_t> targets) const {
  require(targets.size() == ids.size(), "{} targets for {} tokens", targets.size(), ids.size());
  if (fraction == 0) return;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (hides(sample, i))
      ids[i] = token;
    else if (hidden_only)
      targets[i] = -1;
  }
}

}  // namespace katman
