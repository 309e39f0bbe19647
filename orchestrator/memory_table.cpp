#include "orchestrator/memory_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "parallel/checkpoint/gather.h"

namespace katman {
namespace {

constexpr size_t most_ranks = 16;

double megabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }

// Which ranks to show, of those that hold `bytes`. [rank]
std::vector<size_t> chosen(const std::vector<int64_t>& bytes) {
  std::vector<size_t> ranks(bytes.size());
  std::iota(ranks.begin(), ranks.end(), size_t{0});
  if (bytes.size() <= most_ranks) return ranks;
  const auto [least, most] = std::ranges::minmax_element(bytes);
  return {static_cast<size_t>(most - bytes.begin()), static_cast<size_t>(least - bytes.begin())};
}

}  // namespace

std::vector<std::string> memory_table(const Trainer& trainer, Backend& backend, Comm& world) {
  std::string head = fmt::format("{:<16}", "memory in MB");
  std::vector<std::string> cells(static_cast<size_t>(world.size()));  // [rank]
  std::vector<int64_t> total(cells.size());
  for (const MemoryLine& line : trainer.memory()) {
    head += fmt::format("{:>24}", line.what + " (promised)");
    const auto allocated = gather(world, backend, line.allocated_bytes);
    const auto promised = gather(world, backend, line.promised_bytes);
    for (size_t rank = 0; rank < cells.size(); ++rank) {
      total[rank] += allocated[rank];
      cells[rank] += fmt::format(
          "{:>24}",
          fmt::format("{:.1f} ({:.1f})", megabytes(allocated[rank]), megabytes(promised[rank])));
    }
  }
  std::vector<std::string> lines = {head};
  for (const size_t rank : chosen(total))
    lines.push_back(fmt::format("{:<16}", fmt::format("  rank {}", rank)) + cells[rank]);
  if (cells.size() > most_ranks)
    lines.push_back(fmt::format("  the most and the least of {} ranks", cells.size()));
  return lines;
}

}  // namespace katman
