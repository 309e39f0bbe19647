#include "core/model/generate.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace katman {
namespace {

// Rows of one forward pass over prompts, padding included.
constexpr int64_t most_rows = 4096;

// A text that is being written. Its place in the memory is its index among the seats.
struct Seat {
  size_t text = 0;
  std::vector<int32_t> tokens;  // the prompt's and the new ones
  int64_t past = 0;             // tokens in memory, counted from `begin`
  int64_t begin = 0;            // of `tokens`: what lies before has been forgotten
  int64_t made = 0;
  std::optional<Ending> ending = {};

  std::span<const int32_t> unread() const {
    return std::span(tokens).subspan(static_cast<size_t>(begin + past));
  }
};

class Writer {
 public:
  Writer(Reader& reader, std::span<const Prompt> prompts, int32_t end, int64_t together,
         const Listener& listener)
      : reader_(reader),
        prompts_(prompts),
        end_(end),
        listener_(listener),
        memory_(reader.make_memory(std::min<int64_t>(together, std::ssize(prompts)), capacity())) {}

  void run() {
    while (admit(), !seats_.empty()) {
      make_room();
      read_prompts();
      read_one_each();
      dismiss();
    }
  }

 private:
  int64_t capacity() const {
    int64_t longest = 0;
    for (const Prompt& prompt : prompts_)
      longest = std::max(longest, std::ssize(prompt.ids) + prompt.most);
    return std::min(longest, reader_.config().sequence);
  }

  void admit() {
    for (; std::ssize(seats_) < memory_.texts && next_ < prompts_.size(); ++next_)
      seats_.push_back({next_, prompts_[next_].ids});
  }

  // A text that has used up the positions forgets its first half.
  void make_room() {
    const int64_t positions = reader_.config().sequence;
    for (Seat& seat : seats_) {
      if (seat.past + std::ssize(seat.unread()) <= positions) continue;
      seat.begin = std::ssize(seat.tokens) - std::max<int64_t>(1, positions / 2);
      seat.past = 0;
    }
  }

  // Whoever has more than one token to read, neighbours together while padding stays small.
  void read_prompts() {
    for (size_t first = 0; first < seats_.size(); ++first) {
      size_t count = 0;
      int64_t longest = 0, sum = 0;
      while (first + count < seats_.size()) {
        const int64_t length = std::ssize(seats_[first + count].unread());
        const int64_t rows = std::max(longest, length) * static_cast<int64_t>(count + 1);
        const bool fits = rows <= most_rows && 2 * (sum + length) >= rows;
        if (length <= 1 || (count > 0 && !fits)) break;
        longest = std::max(longest, length);
        sum += length;
        ++count;
      }
      if (count == 0) continue;
      read(first, count);
      first += count - 1;
    }
  }

  // All that have one token to read, neighbours together.
  void read_one_each() {
    size_t first = 0;
    while (first < seats_.size()) {
      size_t count = 0;
      while (first + count < seats_.size() && can_read_one(seats_[first + count])) ++count;
      if (count > 0) read(first, count);
      first += std::max<size_t>(count, 1);
    }
  }
  bool can_read_one(const Seat& seat) const {
    return !seat.ending && seat.unread().size() == 1 && seat.past < reader_.config().sequence;
  }

  void read(size_t first, size_t count) {
    std::vector<Unread> batch;
    for (size_t i = first; i < first + count; ++i)
      batch.push_back({seats_[i].unread(), seats_[i].past});
    const Hidden hidden = reader_.read(batch, memory_, static_cast<int64_t>(first));
    std::vector<int32_t> rows;
    for (size_t i = 0; i < count; ++i)
      rows.push_back(
          static_cast<int32_t>(hidden.row(static_cast<int64_t>(i), std::ssize(batch[i].ids) - 1)));
    std::vector<float> logits = reader_.logits(hidden, rows);
    const auto vocabulary = static_cast<size_t>(reader_.config().vocabulary);
    for (size_t i = 0; i < count; ++i) {
      Seat& seat = seats_[first + i];
      seat.past += std::ssize(seat.unread());
      draw(seat, std::span(logits).subspan(i * vocabulary, vocabulary));
    }
  }

  void draw(Seat& seat, std::span<float> logits) {
    const Prompt& prompt = prompts_[seat.text];
    Drawn drawn;
    if (prompt.alternatives > 0) drawn.alternatives = likeliest(logits, prompt.alternatives);
    const double total = log_total(logits);
    const std::vector<float> own = prompt.sampling.repetition_penalty == 1
                                       ? std::vector<float>()
                                       : std::vector<float>(logits.begin(), logits.end());
    drawn.id = sample(logits, prompt.sampling, static_cast<uint64_t>(seat.made), seat.tokens);
    const auto at = static_cast<size_t>(drawn.id);
    drawn.log_probability = (own.empty() ? logits[at] : own[at]) - total;
    if (drawn.id == end_) {
      seat.ending = Ending::end;
      return;
    }
    seat.tokens.push_back(drawn.id);
    ++seat.made;
    if (!listener_.on_token(seat.text, drawn))
      seat.ending = Ending::stopped;
    else if (seat.made == prompt.most)
      seat.ending = Ending::length;
  }

  // The last seat moves where one becomes free, with what it remembers.
  void dismiss() {
    for (size_t i = seats_.size(); i-- > 0;) {
      if (!seats_[i].ending) continue;
      listener_.on_end(seats_[i].text, *seats_[i].ending);
      const size_t last = seats_.size() - 1;
      if (i != last) {
        reader_.copy(memory_, static_cast<int64_t>(last), memory_, static_cast<int64_t>(i),
                     seats_[last].past);
        seats_[i] = std::move(seats_[last]);
      }
      seats_.pop_back();
    }
  }

  Reader& reader_;
  std::span<const Prompt> prompts_;
  int32_t end_;
  const Listener& listener_;
  Memory memory_;
  std::vector<Seat> seats_;
  size_t next_ = 0;  // of the prompts, to be admitted
};

void check(const Prompt& prompt, int64_t positions) {
  prompt.sampling.check();
  require_usage(prompt.most >= 1, "{} new tokens are wanted: ask for at least one", prompt.most);
  require_usage(!prompt.ids.empty(), "a model needs at least one token to continue");
  require_usage(std::ssize(prompt.ids) <= positions,
                "the prompt has {} tokens; this model reads at most {}: shorten it",
                prompt.ids.size(), positions);
}

}  // namespace

void generate(Reader& reader, std::span<const Prompt> prompts, int32_t end, int64_t together,
              const Listener& listener) {
  require_usage(together >= 1, "{} texts together: at least one must be", together);
  for (const Prompt& prompt : prompts) check(prompt, reader.config().sequence);
  if (!prompts.empty()) Writer(reader, prompts, end, together, listener).run();
}

}  // namespace katman
