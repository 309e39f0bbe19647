#include "orchestrator/eval/scorer.h"

#include <algorithm>
#include <cmath>

#include "orchestrator/eval/text.h"

namespace katman {
namespace {

// Of one forward pass, padding included, and of the keys and values that it leaves.
constexpr int64_t most_rows = 4096;
constexpr int64_t most_memory_bytes = int64_t{1} << 30;
// A beginning that is shorter is read again by everybody: copying it would not be worth it.
constexpr int64_t worth_sharing = 8;

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
  int64_t longest_rest() const {
    int64_t longest = 0;
    for (const Input& input : inputs) longest = std::max(longest, input.length() - shared);
    return longest;
  }
};

int64_t common_prefix(const Input& a, const Input& b, int64_t most) {
  int64_t length = 0;
  while (length < most && a.ids[static_cast<size_t>(length)] == b.ids[static_cast<size_t>(length)])
    ++length;
  return length;
}

int64_t shared_by(const Group& group, const Input& next) {
  const int64_t mine = group.inputs.size() == 1 ? group.inputs[0].first_target() : group.shared;
  return common_prefix(group.inputs[0], next, std::min(mine, next.first_target()));
}

// Neighbours join while sharing saves more than it costs.
std::vector<Group> group_neighbours(std::vector<Input> inputs) {
  std::vector<Group> groups;
  for (Input& input : inputs) {
    if (!groups.empty() && groups.back().inputs.size() < 64) {
      Group& group = groups.back();
      const int64_t shared = shared_by(group, input);
      const bool pays =
          shared >= worth_sharing && (group.inputs.size() == 1 || 2 * shared >= group.shared);
      if (pays && 2 * shared >= input.length()) {
        group.shared = shared;
        group.inputs.push_back(std::move(input));
        continue;
      }
    }
    groups.emplace_back().inputs.push_back(std::move(input));
  }
  return groups;
}

// Groups that are read together: prefixes in one pass, what follows in another.
class Batch {
 public:
  Batch(Reader& reader, std::span<const Group> groups) : reader_(reader), groups_(groups) {}

  // How many of the first groups fit one batch; at least one. They are ordered by `shared`.
  static size_t fitting(const Reader& reader, std::span<const Group> groups) {
    int64_t prefix = 0, rest = 0, inputs = 0;
    const int64_t token_bytes = reader.bytes_per_token();
    for (size_t count = 0; count < groups.size(); ++count) {
      const Group& group = groups[count];
      prefix = std::max(prefix, group.shared);
      rest = std::max(rest, group.longest_rest());
      inputs += std::ssize(group.inputs);
      const auto together = static_cast<int64_t>(count) + 1;
      const bool fits =
          prefix * together <= most_rows && rest * inputs <= most_rows &&
          (prefix == 0 || (prefix + rest) * inputs * token_bytes <= most_memory_bytes) &&
          prefix + rest <= reader.config().sequence && group.shared == groups[0].shared;
      if (!fits) return std::max<size_t>(count, 1);
    }
    return groups.size();
  }

  void score(std::vector<Likelihood>& results) {
    const bool share = groups_[0].shared > 0;
    std::vector<Unread> batch;
    for (const Group& group : groups_)
      for (const Input& input : group.inputs)
        batch.push_back(
            {std::span(input.ids).subspan(static_cast<size_t>(group.shared)), group.shared});
    collect(share ? reader_.read(batch, continued(std::ssize(batch))) : reader_.read(batch),
            results);
  }

 private:
  // A memory that holds for every input what its group shares.
  Memory continued(int64_t inputs) {
    int64_t prefix = 0, rest = 0;
    std::vector<Unread> batch;
    for (const Group& group : groups_) {
      prefix = std::max(prefix, group.shared);
      rest = std::max(rest, group.longest_rest());
      batch.push_back({std::span(group.inputs[0].ids).first(static_cast<size_t>(group.shared))});
    }
    const Memory prefixes = reader_.make_memory(std::ssize(batch), prefix);
    reader_.read(batch, prefixes);
    const Memory all = reader_.make_memory(inputs, prefix + rest);
    int64_t place = 0;
    for (size_t g = 0; g < groups_.size(); ++g)
      for (size_t i = 0; i < groups_[g].inputs.size(); ++i)
        reader_.copy(prefixes, static_cast<int64_t>(g), all, place++, groups_[g].shared);
    return all;
  }

  void collect(const Hidden& hidden, std::vector<Likelihood>& results) {
    std::vector<int32_t> rows, targets;
    std::vector<size_t> pairs;  // [row]
    int64_t text = 0;
    for (const Group& group : groups_)
      for (const Input& input : group.inputs) {
        for (int64_t i = 0; i < std::ssize(input.targets); ++i) {
          rows.push_back(
              static_cast<int32_t>(hidden.row(text, input.first_target() - group.shared + i)));
          targets.push_back(input.targets[static_cast<size_t>(i)]);
          pairs.push_back(input.pair);
        }
        ++text;
      }
    const std::vector<TokenScore> scores = reader_.scores(hidden, rows, targets);
    for (size_t row = 0; row < rows.size(); ++row) {
      require(std::isfinite(scores[row].log_probability),
              "the model's probabilities are not numbers: the checkpoint is damaged or diverged");
      results[pairs[row]].sum += scores[row].log_probability;
      results[pairs[row]].greedy &= scores[row].margin >= 0;
    }
  }

  Reader& reader_;
  std::span<const Group> groups_;
};

}  // namespace

std::vector<int32_t> Encoding::ids(std::string_view text) {
  std::vector<uint32_t> ids;
  encoder_.encode(text, ids);
  return {ids.begin(), ids.end()};
}

Pair Encoding::pair(std::string context, std::string continuation) {
  if (context.empty()) {
    Pair pair{{prefix_}, ids(continuation)};
    if (!pair.continuation.empty() && pair.continuation.front() == prefix_)
      pair.continuation.erase(pair.continuation.begin());
    return pair;
  }
  const size_t spaces = trailing_space_bytes(context);
  continuation = context.substr(context.size() - spaces) + continuation;
  context.resize(context.size() - spaces);
  const std::vector<int32_t> whole = ids(context + continuation);
  std::vector<int32_t> before = ids(context);
  const auto split = whole.begin() + std::min(std::ssize(before), std::ssize(whole));
  if (before.empty()) before.push_back(prefix_);  // the context was white space alone
  return {std::move(before), {split, whole.end()}};
}

std::vector<Pair> Encoding::windows(std::string_view text, int64_t positions) {
  const std::vector<int32_t> tokens = ids(text);
  const int64_t count = std::ssize(tokens);
  std::vector<Pair> pairs;
  for (int64_t begin = 0; begin < count; begin += positions) {
    const int64_t end = std::min(count, begin + positions);
    // The last window looks further back instead of being short.
    const int64_t first = std::max<int64_t>(0, end - positions);
    Pair pair;
    if (begin == 0)
      pair.context.push_back(prefix_);
    else
      pair.context.assign(tokens.begin() + std::max<int64_t>(first - 1, 0), tokens.begin() + begin);
    pair.continuation.assign(tokens.begin() + begin, tokens.begin() + end);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<Likelihood> Scorer::likelihoods(std::span<const Pair> pairs,
                                            const std::function<void(int64_t)>& on_done) {
  const int64_t positions = reader_.config().sequence;
  std::vector<Likelihood> results(pairs.size());
  std::vector<Input> inputs;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].continuation.empty()) continue;
    Input input{i, pairs[i].context, pairs[i].continuation};
    require(!input.ids.empty(), "a continuation has no context at all");
    input.ids.insert(input.ids.end(), input.targets.begin(), input.targets.end() - 1);
    const int64_t over = std::max<int64_t>(0, input.length() - positions);
    truncated_ += over > 0;
    input.ids.erase(input.ids.begin(), input.ids.begin() + over);
    // A continuation that alone is too long is judged by its end.
    const int64_t lost = std::ssize(input.targets) - input.length();
    if (lost > 0) input.targets.erase(input.targets.begin(), input.targets.begin() + lost);
    inputs.push_back(std::move(input));
  }
  std::vector<Group> groups = group_neighbours(std::move(inputs));
  // Alike next to alike: little padding. The longest first, so that memory is taken once.
  std::ranges::stable_sort(groups, [](const Group& a, const Group& b) {
    return std::pair(a.shared, a.longest_rest()) > std::pair(b.shared, b.longest_rest());
  });
  int64_t done = 0;
  for (std::span<const Group> left = groups; !left.empty();) {
    const size_t count = Batch::fitting(reader_, left);
    Batch(reader_, left.first(count)).score(results);
    for (const Group& group : left.first(count)) done += std::ssize(group.inputs);
    on_done(done);
    left = left.subspan(count);
  }
  return results;
}

}  // namespace katman
