#include "parallel/comm/device_world.h"

#include <algorithm>
#include <set>

#include "core/log.h"
#include "parallel/comm/alone.h"
#include "parallel/comm/nccl.h"
#include "parallel/comm/neighbours.h"
#include "parallel/comm/staged.h"

namespace katman {
namespace {

// Why this world cannot use NCCL, the same on all ranks; empty when it can. Collective.
std::string objection(Comm& host, const std::string& device) {
  const auto devices = exchange_fingerprints(host, device);
  const std::set<int64_t> distinct(devices.begin(), devices.end());
  if (distinct.size() < devices.size())
    return fmt::format("{} ranks share {} devices", devices.size(), distinct.size());
  const std::string missing = why_no_nccl();
  const auto answers = exchange_fingerprints(host, missing);
  const bool everywhere =
      std::ranges::all_of(answers, [&](int64_t answer) { return answer == answers[0]; });
  if (!everywhere) return "NCCL is not the same on all ranks";
  return missing;
}

}  // namespace

std::unique_ptr<Comm> device_world(Comm& host, Backend& backend,
                                   std::chrono::milliseconds deadline) {
  DeviceQueue& queue = backend.queue();
  if (queue.on_host()) return host.split(0, host.rank(), host.name());
  if (host.size() == 1) return make_comm_of_one(queue, host.name());
  auto ranks = host.split(0, host.rank(), host.name());
  const std::string why_not = objection(host, queue.device());
  if (host.rank() == 0)
    spdlog::info(
        "{} ranks exchange tensors {}", host.size(),
        why_not.empty() ? "through NCCL" : "through host memory, which is slow: " + why_not);
  if (why_not.empty()) return make_nccl_comm(std::move(ranks), queue, backend.pool(), deadline);
  return make_staged_comm(std::move(ranks), queue);
}

}  // namespace katman
