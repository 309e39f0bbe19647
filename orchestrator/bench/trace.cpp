#include "orchestrator/bench/trace.h"

#include <algorithm>
#include <map>

namespace katman {
namespace {

void remove_all(std::string& text, const std::string& part) {
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at))
    text.erase(at, part.size());
}

}  // namespace

std::string short_kernel_name(const std::string& signature) {
  std::string name = signature;
  for (const char* part : {"(anonymous namespace)::", "katman::", "kernels::"})
    remove_all(name, part);
  if (name.starts_with("void ")) name.erase(0, 5);
  int depth = 0;  // of template arguments, whose parentheses stay
  for (size_t at = 1; at < name.size(); ++at) {
    depth += (name[at] == '<') - (name[at] == '>');
    if (name[at] == '(' && depth == 0) return name.substr(0, at);
  }
  return name;
}

TraceFigures summarise(const std::vector<CudaActivity>& activities, int64_t steps) {
  TraceFigures figures;
  figures.steps = steps;
  figures.activities = static_cast<int64_t>(activities.size());
  if (activities.empty()) return figures;
  const int64_t begin = activities.front().begin_ns;
  int64_t reached = begin, idle = 0, longest_gap = 0;
  std::map<std::string, KernelTime> by_name;
  for (const CudaActivity& activity : activities) {
    const int64_t gap = std::max<int64_t>(0, activity.begin_ns - reached);
    idle += gap;
    longest_gap = std::max(longest_gap, gap);
    reached = std::max(reached, activity.end_ns);
    KernelTime& kernel = by_name[short_kernel_name(activity.name)];
    ++kernel.calls;
    kernel.seconds += static_cast<double>(activity.end_ns - activity.begin_ns) * 1e-9;
  }
  figures.seconds = static_cast<double>(reached - begin) * 1e-9;
  if (reached > begin)
    figures.busy = 1 - static_cast<double>(idle) / static_cast<double>(reached - begin);
  figures.longest_gap_s = static_cast<double>(longest_gap) * 1e-9;
  for (auto& [name, kernel] : by_name) {
    kernel.name = name;
    figures.kernels.push_back(kernel);
  }
  std::ranges::sort(figures.kernels, std::greater<>(), &KernelTime::seconds);
  return figures;
}

}  // namespace katman
