#include "orchestrator/eval/prefixes.h"

#include <utility>

namespace katman {
namespace {

constexpr size_t most_inputs = 64;  // of a group
// A beginning that is shorter is read again by everybody: copying it would not be worth it.
constexpr int64_t worth_sharing = 8;

int64_t common_prefix(const Input& a, const Input& b, int64_t most) {
  const auto begin = a.ids.begin();
  return std::mismatch(begin, begin + most, b.ids.begin()).first - begin;
}

// Whether `input` becomes one of the group: when that costs the others next to nothing of what they
// share. Who has less in common with them may be of their family.
bool joins(Group& group, const Input& input) {
  if (group.inputs.size() == most_inputs) return false;
  const int64_t shared =
      common_prefix(group.inputs[0], input, std::min(group.reach(), input.first_target()));
  if (shared < worth_sharing || 2 * shared < input.length()) return false;
  if (shared + worth_sharing <= group.shared) return false;
  group.shared = shared;
  return true;
}

// Whether `group` becomes one of the family. What is behind a base attends to it row by row, where
// alone it would go in blocks: little may be left.
bool joins(Family& family, const Group& group) {
  const Group& first = family.groups[0];
  const int64_t before = family.base > 0 ? family.base : first.reach();
  const int64_t base =
      common_prefix(first.inputs[0], group.inputs[0], std::min(before, group.reach()));
  if (base < worth_sharing || 5 * base < 4 * std::max(before, group.reach())) return false;
  family.base = base;
  return true;
}

std::vector<Group> groups_of(std::vector<Input> inputs) {
  std::vector<Group> groups;
  for (Input& input : inputs) {
    if (groups.empty() || !joins(groups.back(), input)) groups.emplace_back();
    groups.back().inputs.push_back(std::move(input));
  }
  return groups;
}

}  // namespace

std::vector<Family> families_of(std::vector<Input> inputs) {
  std::vector<Family> families;
  for (Group& group : groups_of(std::move(inputs))) {
    if (families.empty() || !joins(families.back(), group)) families.emplace_back();
    families.back().groups.push_back(std::move(group));
  }
  std::vector<Family> result(1);
  for (Family& family : families) {
    if (family.base == 0) {
      result[0].groups.push_back(std::move(family.groups[0]));
      continue;
    }
    for (Group& group : family.groups) group.shared = std::max(group.shared, family.base);
    result.push_back(std::move(family));
  }
  return result;
}

}  // namespace katman
