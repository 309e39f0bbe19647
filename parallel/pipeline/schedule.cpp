#include "parallel/pipeline/schedule.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "core/error.h"

namespace katman {
namespace {

Action action(Do what, int stage, int micro) {
  return {what, static_cast<int16_t>(stage), static_cast<int16_t>(micro)};
}

void require_counts(int ranks, int micros, int chunks) {
  constexpr int limit = 1 << 14;
  require_usage(
      ranks >= 1 && chunks >= 1 && micros >= 0 && ranks * chunks < limit && micros < limit,
      "a schedule needs at least one rank and one chunk and fewer than {} stages and "
      "micro-batches, not {} ranks, {} chunks, {} micro-batches",
      limit, ranks, chunks, micros);
}

// A program per rank from what rank r does.
template <class Write>
Schedule for_each_rank(int ranks, Write write) {
  Schedule schedule(static_cast<size_t>(ranks));
  for (int r = 0; r < ranks; ++r) write(r, schedule[static_cast<size_t>(r)]);
  return schedule;
}

// The k-th piece of work of every rank when `ranks` micro-batches at a time pass through all
// chunks. The last group may name micro-batches that do not exist: leaving their actions out of a
// schedule for whole groups keeps the order of all others, and with it the absence of deadlocks.
struct Turn {
  int chunk, micro;
};
std::vector<Turn> turns(int ranks, int micros, int chunks) {
  std::vector<Turn> order;
  for (int group = 0; group < micros; group += ranks)
    for (int chunk = 0; chunk < chunks; ++chunk)
      for (int micro = group; micro < group + ranks; ++micro) order.push_back({chunk, micro});
  return order;
}

// Forward passes as far ahead of the backward passes as ahead(r) says, then in turn with them, and
// in_hand(r) weight gradients kept back: how each rank of a zero-bubble schedule works. Nobody
// waits for the first stage's input gradient, so there the backward pass stays whole, which is
// cheaper.
template <class Ahead, class InHand>
Schedule with_split_backward(int ranks, int micros, Ahead ahead_of, InHand in_hand_of) {
  return for_each_rank(ranks, [&](int r, Program& program) {
    const int ahead = std::min(micros, ahead_of(r)), in_hand = std::min(micros, in_hand_of(r));
    for (int m = 0; m < ahead; ++m) program.push_back(action(Do::forward, r, m));
    for (int m = 0; m < micros; ++m) {
      if (m + ahead < micros) program.push_back(action(Do::forward, r, m + ahead));
      program.push_back(action(r == 0 ? Do::backward : Do::backward_input, r, m));
      if (r > 0 && m >= in_hand) program.push_back(action(Do::backward_weight, r, m - in_hand));
    }
    for (int m = micros - in_hand; r > 0 && m < micros; ++m)
      program.push_back(action(Do::backward_weight, r, m));
  });
}

}  // namespace

bool is_compute(Do what) {
  return what == Do::forward || what == Do::backward || what == Do::backward_input ||
         what == Do::backward_weight;
}

int stages_of(const Schedule& schedule) {
  int stages = 0;
  for (const Program& program : schedule)
    for (const Action& a : program) stages = std::max(stages, a.stage + 1);
  return stages;
}

Schedule gpipe(int ranks, int micros) {
  require_counts(ranks, micros, 1);
  return for_each_rank(ranks, [&](int r, Program& program) {
    for (int m = 0; m < micros; ++m) program.push_back(action(Do::forward, r, m));
    for (int m = 0; m < micros; ++m) program.push_back(action(Do::backward, r, m));
  });
}

Schedule one_f_one_b(int ranks, int micros) {
  require_counts(ranks, micros, 1);
  return for_each_rank(ranks, [&](int r, Program& program) {
    const int ahead = std::min(micros, ranks - 1 - r);
    for (int m = 0; m < ahead; ++m) program.push_back(action(Do::forward, r, m));
    for (int m = 0; m < micros; ++m) {
      if (m + ahead < micros) program.push_back(action(Do::forward, r, m + ahead));
      program.push_back(action(Do::backward, r, m));
    }
  });
}

Schedule interleaved(int ranks, int micros, int chunks) {
  require_counts(ranks, micros, chunks);
  if (chunks == 1) return one_f_one_b(ranks, micros);
  const auto order = turns(ranks, micros, chunks);
  const int total = static_cast<int>(order.size());
  return for_each_rank(ranks, [&](int r, Program& program) {
    // Micro-batches come back after all chunks of all ranks, two slots later per rank behind me.
    const int ahead = std::min(total, 2 * (ranks - 1 - r) + (chunks - 1) * ranks);
    const auto add = [&](Do what, int chunk, int micro) {
      if (micro < micros) program.push_back(action(what, chunk * ranks + r, micro));
    };
    const auto forward = [&](int k) {
      const Turn t = order[static_cast<size_t>(k)];
      add(Do::forward, t.chunk, t.micro);
    };
    for (int k = 0; k < ahead; ++k) forward(k);
    for (int k = 0; k < total; ++k) {
      if (k + ahead < total) forward(k + ahead);
      const Turn t = order[static_cast<size_t>(k)];
      add(Do::backward, chunks - 1 - t.chunk, t.micro);
    }
  });
}

Schedule zero_bubble(int ranks, int micros) {
  require_counts(ranks, micros, 1);
  // Rank r keeps r weight gradients in hand: with its p - r micro-batches under way that makes
  // the p of 1F1B's first rank, and it has work while the last gradients travel.
  return with_split_backward(
      ranks, micros, [&](int r) { return ranks - 1 - r; }, [](int r) { return r; });
}

Schedule zero_bubble_h2(int ranks, int micros, std::span<const int64_t> layers) {
  require_counts(ranks, micros, 1);
  const auto ahead = [&](int r) { return 2 * (ranks - 1 - r); };
  // A stage of fewer layers than the first keeps more weight gradients for as many bytes: its own
  // are short work, and the first rank's last pass is long.
  const auto in_hand = [&](int r) {
    if (layers.empty()) return 2 * r;
    const int64_t first = layers[0], mine = std::max<int64_t>(1, layers[static_cast<size_t>(r)]);
    const int64_t alive = std::min<int64_t>(micros, (2 * ranks - 1) * first / mine);
    return std::max(2 * r, static_cast<int>(alive) - 1 - ahead(r));
  };
  return with_split_backward(ranks, micros, ahead, in_hand);
}

Schedule forward_only(int ranks, int micros, int chunks) {
  require_counts(ranks, micros, chunks);
  return for_each_rank(ranks, [&](int r, Program& program) {
    for (const Turn t : turns(ranks, micros, chunks))
      if (t.micro < micros) program.push_back(action(Do::forward, t.chunk * ranks + r, t.micro));
  });
}

Schedule make_schedule(const std::string& kind, int ranks, int micros, int chunks,
                       std::span<const int64_t> layers) {
  require_usage(chunks == 1 || kind == "interleaved",
                "a {} schedule has one chunk per stage, not {}; use interleaved", kind, chunks);
  if (kind == "gpipe") return gpipe(ranks, micros);
  if (kind == "1f1b") return one_f_one_b(ranks, micros);
  if (kind == "interleaved") return interleaved(ranks, micros, chunks);
  if (kind == "zero_bubble") return zero_bubble(ranks, micros);
  if (kind == "zero_bubble_h2") return zero_bubble_h2(ranks, micros, layers);
  require_usage(kind.starts_with("file:"), "there is no schedule '{}'; use {} or file:PATH", kind,
                fmt::join(schedule_kinds, ", "));
  const std::string path = kind.substr(5);
  std::ifstream in(path);
  require_usage(in.good(), "cannot read the schedule {}", path);
  Schedule schedule = parse_schedule(std::string{std::istreambuf_iterator<char>(in), {}});
  require_usage(static_cast<int>(schedule.size()) == ranks,
                "the schedule {} is for {} ranks, not for {}", path, schedule.size(), ranks);
  return schedule;
}

}  // namespace katman
