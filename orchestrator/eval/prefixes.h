// Which requests begin alike, so that their beginnings are read once: the choices of one question,
// and all questions behind the same shots.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace katman {

// One pair as the model reads it.
struct Input {
  size_t pair = 0;
  std::vector<int32_t> ids;      // context and continuation without its last token
  std::vector<int32_t> targets;  // of the last rows
  int64_t length() const { return std::ssize(ids); }
  int64_t first_target() const { return length() - std::ssize(targets); }
};

// Inputs that begin with the same `shared` tokens, none of whose rows are asked about.
struct Group {
  std::vector<Input> inputs;
  int64_t shared = 0;
  // As far as the beginning could be shared with others.
  int64_t reach() const { return inputs.size() == 1 ? inputs[0].first_target() : shared; }
  int64_t longest_rest() const {
    int64_t longest = 0;
    for (const Input& input : inputs) longest = std::max(longest, input.length() - shared);
    return longest;
  }
};

// Groups that begin with the same `base` <= shared tokens.
struct Family {
  std::vector<Group> groups;
  int64_t base = 0;
};

// Neighbours join while sharing saves more than it costs. Groups that begin like no other are one
// family without a base.
std::vector<Family> families_of(std::vector<Input> inputs);

}  // namespace katman
