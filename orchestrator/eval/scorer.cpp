#include "orchestrator/eval/scorer.h"

#include <algorithm>
#include <cmath>

#include "orchestrator/eval/prefixes.h"
#include "orchestrator/eval/text.h"

namespace katman {
namespace {

// Of one forward pass, padding included, and of the keys and values that it leaves.
constexpr int64_t most_rows = 4096;
constexpr int64_t most_memory_bytes = int64_t{1} << 29;

// What all groups of a family begin with, read.
struct Base {
  int64_t tokens = 0;
  Memory memory = {};
};

Base read_base(Reader& reader, const Family& family) {
  if (family.base == 0) return {};
  const Base base{family.base, reader.make_memory(1, family.base)};
  const Unread beginning{
      std::span(family.groups[0].inputs[0].ids).first(static_cast<size_t>(family.base))};
  reader.read({&beginning, 1}, base.memory);
  return base;
}

// Memories that one batch after another uses: fresh pages cost more than what is computed on them.
class Memories {
 public:
  explicit Memories(Reader& reader) : reader_(reader) {}

  const Memory& prefixes(int64_t texts, int64_t capacity) {
    return fit(prefixes_, texts, capacity);
  }
  const Memory& continued(int64_t texts, int64_t capacity) {
    return fit(continued_, texts, capacity);
  }

 private:
  const Memory& fit(Memory& memory, int64_t texts, int64_t capacity) const {
    if (memory.texts >= texts && memory.capacity >= capacity) return memory;
    memory = {};  // before the larger one is taken
    return memory = reader_.make_memory(texts, capacity);
  }

  Reader& reader_;
  Memory prefixes_ = {}, continued_ = {};
};

// Groups of a family that are read together: prefixes in one pass, what follows in another.
class Batch {
 public:
  Batch(Reader& reader, Memories& memories, const Base& base, std::span<const Group> groups)
      : reader_(reader), memories_(memories), base_(base), groups_(groups) {}

  // How many of the first groups behind `base` fit one batch; at least one. They are ordered by
  // `shared`.
  static size_t fitting(const Reader& reader, int64_t base, std::span<const Group> groups) {
    const int64_t token_bytes = reader.bytes_per_token(), prefix = groups[0].shared;
    int64_t rest = 0, inputs = 0, read = 0;
    for (size_t count = 0; count < groups.size(); ++count) {
      const Group& group = groups[count];
      rest = std::max(rest, group.longest_rest());
      inputs += std::ssize(group.inputs);
      read += group.shared - base;
      const int64_t rows = (prefix - base) * (static_cast<int64_t>(count) + 1);
      const int64_t memory = (prefix + rest) * inputs * token_bytes;
      const bool little_padding = 8 * (rows - read) <= rows;
      const bool fits = rows <= most_rows && rest * inputs <= most_rows && little_padding &&
                        (prefix == 0 || (group.shared > 0 && memory <= most_memory_bytes)) &&
                        prefix + rest <= reader.config().sequence;
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
  const Memory& continued(int64_t inputs) {
    int64_t prefix = 0, rest = 0;
    for (const Group& group : groups_) {
      prefix = std::max(prefix, group.shared);
      rest = std::max(rest, group.longest_rest());
    }
    const Memory& prefixes = read_prefixes(prefix);
    const Memory& all = memories_.continued(inputs, prefix + rest);
    int64_t place = 0;
    for (size_t g = 0; g < groups_.size(); ++g)
      for (size_t i = 0; i < groups_[g].inputs.size(); ++i)
        reader_.copy(prefixes, static_cast<int64_t>(g), all, place++, groups_[g].shared);
    return all;
  }

  // [group]
  const Memory& read_prefixes(int64_t longest) {
    const Memory& memory = memories_.prefixes(std::ssize(groups_), longest);
    const auto base = static_cast<size_t>(base_.tokens);
    std::vector<Unread> batch;
    for (const Group& group : groups_) {
      if (base > 0) reader_.copy(base_.memory, 0, memory, std::ssize(batch), base_.tokens);
      batch.push_back(
          {std::span(group.inputs[0].ids).subspan(base, static_cast<size_t>(group.shared) - base),
           base_.tokens});
    }
    if (longest > base_.tokens) reader_.read(batch, memory);
    return memory;
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
  Memories& memories_;
  const Base& base_;
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
  std::vector<Likelihood> results(pairs.size());
  std::vector<Input> inputs;
  for (size_t i = 0; i < pairs.size(); ++i)
    if (!pairs[i].continuation.empty()) inputs.push_back(input_of(pairs[i], i));
  Memories memories(reader_);
  int64_t done = 0;
  for (Family& family : families_of(std::move(inputs))) {
    // Alike next to alike: little padding. The longest first, so that memory is taken once.
    std::ranges::stable_sort(family.groups, [](const Group& a, const Group& b) {
      return std::pair(a.shared, a.longest_rest()) > std::pair(b.shared, b.longest_rest());
    });
    const Base base = read_base(reader_, family);
    for (std::span<const Group> left = family.groups; !left.empty();) {
      const size_t count = Batch::fitting(reader_, family.base, left);
      Batch(reader_, memories, base, left.first(count)).score(results);
      for (const Group& group : left.first(count)) done += std::ssize(group.inputs);
      on_done(done);
      left = left.subspan(count);
    }
  }
  return results;
}

Input Scorer::input_of(const Pair& pair, size_t index) {
  Input input{index, pair.context, pair.continuation};
  require(!input.ids.empty(), "a continuation has no context at all");
  input.ids.insert(input.ids.end(), input.targets.begin(), input.targets.end() - 1);
  const int64_t over = std::max<int64_t>(0, input.length() - reader_.config().sequence);
  truncated_ += over > 0;
  input.ids.erase(input.ids.begin(), input.ids.begin() + over);
  // A continuation that alone is too long is judged by its end.
  const int64_t lost = std::ssize(input.targets) - input.length();
  if (lost > 0) input.targets.erase(input.targets.begin(), input.targets.begin() + lost);
  return input;
}

}  // namespace katman
