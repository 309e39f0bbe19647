#include "parallel/comm/neighbours.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>

#include "core/device_queue.h"
#include "core/host_name.h"

namespace katman {
namespace {

// Containers of one machine share its boot id, machines of one image may share its name.
std::string machine() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return host_name() + ' ' + boot;
}

}  // namespace

std::vector<int64_t> exchange_fingerprints(Comm& world, const std::string& mine) {
  const auto number = static_cast<int64_t>(std::hash<std::string>()(mine));
  const auto bytes = static_cast<int64_t>(sizeof number) * world.size();
  const Tensor all(host_queue().staging().take(bytes), 0, {world.size(), 2}, DType::i32);
  const Tensor slice = all.slice(world.rank(), 1);
  std::memcpy(slice.raw(), &number, sizeof number);
  world.all_gather(slice, all).wait();
  std::vector<int64_t> numbers(static_cast<size_t>(world.size()));
  std::memcpy(numbers.data(), all.raw(), static_cast<size_t>(bytes));
  return numbers;
}

LocalPlace local_place(Comm& world) {
  const auto machines = exchange_fingerprints(world, machine());
  const auto me = machines.begin() + world.rank();
  return {static_cast<int>(std::count(machines.begin(), me, *me)),
          static_cast<int>(std::ranges::count(machines, *me))};
}

}  // namespace katman
