#include "data_pipeline/build/duplicates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>

#include "core/error.h"

namespace katman {

constexpr size_t partitions = 64;

struct DuplicateFinder::Partition {
  std::vector<DocumentId> recent;
  std::optional<NewFile> spilled;  // removed with the partition
  uint64_t spilled_records = 0;
};

DuplicateFinder::DuplicateFinder(std::string directory, size_t spill_at)
    : directory_(std::move(directory)), spill_at_(spill_at), partitions_(partitions) {}

DuplicateFinder::~DuplicateFinder() = default;

void DuplicateFinder::add(std::span<const DocumentId> documents) {
  const std::lock_guard lock(mutex_);
  for (const DocumentId& document : documents) {
    const size_t p = document.hash.low % partitions;
    Partition& partition = partitions_[p];
    partition.recent.push_back(document);
    if (partition.recent.size() < spill_at_) continue;
    if (!partition.spilled) partition.spilled.emplace(fmt::format("{}/hashes-{}", directory_, p));
    partition.spilled->write(partition.recent.data(), partition.recent.size() * sizeof document);
    partition.spilled_records += partition.recent.size();
    partition.recent.clear();
  }
}

Survivors DuplicateFinder::find(std::span<const uint64_t> documents_per_lane,
                                const std::function<void(const DocumentId&)>& visit) {
  Survivors survivors;
  for (const uint64_t n : documents_per_lane) survivors.duplicate.emplace_back(n, false);
  for (size_t p = 0; p < partitions; ++p) {
    Partition& partition = partitions_[p];
    std::vector<DocumentId> all(partition.spilled_records);
    if (partition.spilled) {
      partition.spilled->commit_lazily();
      const MappedFile file(partition.spilled->path());
      require(file.size() == all.size() * sizeof(DocumentId), "{} was changed during the build",
              partition.spilled->path());
      std::memcpy(all.data(), file.data(), file.size());
    }
    all.insert(all.end(), partition.recent.begin(), partition.recent.end());
    partition.recent = {};
    std::sort(all.begin(), all.end(), [](const DocumentId& a, const DocumentId& b) {
      return std::tie(a.hash, a.lane, a.index) < std::tie(b.hash, b.lane, b.index);
    });
    for (size_t i = 0; i < all.size(); ++i) {
      ++survivors.documents;
      if (i > 0 && all[i].hash == all[i - 1].hash) {
        ++survivors.duplicates;
        survivors.duplicate[all[i].lane][all[i].index] = true;
        continue;
      }
      survivors.text_bytes += all[i].bytes;
      visit(all[i]);
    }
  }
  return survivors;
}

}  // namespace katman
