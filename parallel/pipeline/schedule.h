// A pipeline schedule as data: what each rank does in one training step, in order.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace katman {

// One thing a rank does for one micro-batch on one stage. Compute actions are written by the
// generators below; the others are inserted by with_comms().
enum class Do : uint8_t {
  forward,          // F
  backward,         // B: input and weight gradients
  backward_input,   // I: the gradient that the previous stage waits for
  backward_weight,  // W: the rest, any time later
  send_act,         // SF: to the next stage
  recv_act,         // RF: the input of this stage
  send_grad,        // SB: to the previous stage
  recv_grad,        // RB: the gradient of this stage's output
  reduce,           // R: this stage's gradients are complete: sum them over replicas
};

// `stage` counts from the embedding to the head over all chunks; `micro` is 0 for reduce.
struct Action {
  Do what = Do::forward;
  int16_t stage = 0, micro = 0;
  bool operator==(const Action&) const = default;
};

using Program = std::vector<Action>;    // one rank, one training step
using Schedule = std::vector<Program>;  // [pipeline rank]

bool is_compute(Do what);
// Stages are dealt to ranks in turn: stage s is chunk s / ranks of rank s % ranks.
inline int rank_of(int stage, int ranks) { return stage % ranks; }
int stages_of(const Schedule& schedule);  // 1 + the largest stage named

// All forwards, then all backwards (Huang et al., 2019). Bubble (p-1)/(m+p-1); every activation is
// alive at once.
Schedule gpipe(int ranks, int micros);
// One forward, one backward (Narayanan et al., 2019, 2021, "PipeDream-Flush"). The same bubble, but
// rank r keeps at most p - r micro-batches.
Schedule one_f_one_b(int ranks, int micros);
// 1F1B over `chunks` stages per rank (Narayanan et al., 2021): the bubble is divided by chunks.
Schedule interleaved(int ranks, int micros, int chunks);
// ZB-H1 (Qi et al., 2023): weight gradients fill the bubble, which becomes
// (p-1)(F + I - W); no more activations alive than the first rank of 1F1B.
Schedule zero_bubble(int ranks, int micros);
// ZB-H2 (the same paper): up to 2p - 1 micro-batches alive on a rank, and the bubble is the (p-1) F
// that the last rank waits for its first input. `layers`, optional, is how many each stage has: it
// is then the memory of 2p - 1 micro-batches of the first stage that every rank may use.
Schedule zero_bubble_h2(int ranks, int micros, std::span<const int64_t> layers = {});
// Forward passes only, for validation.
Schedule forward_only(int ranks, int micros, int chunks);

inline constexpr std::array<std::string_view, 5> schedule_kinds = {"gpipe", "1f1b", "interleaved",
                                                                   "zero_bubble", "zero_bubble_h2"};
// One of schedule_kinds, or file:PATH with a schedule as text, whose
// micro-batches must be `micros`. `layers` [stage], optional, is how the model is cut. Throws
// UsageError that lists the kinds.
Schedule make_schedule(const std::string& kind, int ranks, int micros, int chunks,
                       std::span<const int64_t> layers = {});

// "0F0 0F1 0B0 | 1F0 1B0": ranks separated by '|' or line ends, '#' starts a comment line. An
// action is stage, letter(s), micro ("2SF5"), without micro for reduce ("2R").
std::string to_string(const Action& action);
std::string to_string(const Schedule& schedule);  // a line per rank
Schedule parse_schedule(std::string_view text);   // throws UsageError with rank and word

}  // namespace katman
