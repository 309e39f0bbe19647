#include "parallel/pipeline/check.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/pipeline/simulate.h"
#include "parallel/pipeline/transfers.h"

namespace katman::testing {
namespace {

struct Case {
  std::string kind;
  int ranks, micros, chunks;
  std::string repro() const {
    return fmt::format("{} ranks={} micros={} chunks={}", kind, ranks, micros, chunks);
  }
};

// Every kind over p <= 16, m <= 64, chunks <= 4.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int ranks = 1; ranks <= 16; ++ranks)
    for (int micros : {1, 2, 3, 5, 8, 12, 16, 17, 31, 32, 64})
      for (const std::string kind :
           {"gpipe", "1f1b", "zero_bubble", "zero_bubble_h2", "interleaved"})
        for (int chunks = 1; chunks <= (kind == "interleaved" ? 4 : 1); ++chunks)
          cases.push_back({kind, ranks, micros, chunks});
  return cases;
}

TEST(ScheduleProperties, every_kind_is_complete_ordered_paired_and_free_of_deadlocks) {
  for (const Case& c : all_cases()) {
    const Schedule s = with_comms(make_schedule(c.kind, c.ranks, c.micros, c.chunks));
    EXPECT_NO_THROW(verify(s, c.micros)) << c.repro();
    EXPECT_EQ(stages_of(s), c.ranks * c.chunks) << c.repro();
  }
}

TEST(ScheduleProperties, validation_passes_are_free_of_deadlocks) {
  for (const Case& c : all_cases())
    EXPECT_NO_THROW(verify(with_comms(forward_only(c.ranks, c.micros, c.chunks)), c.micros, false))
        << c.repro();
}

TEST(ScheduleProperties, micro_batches_pass_each_stage_in_order) {
  for (const Case& c : all_cases())
    for (const Program& program : make_schedule(c.kind, c.ranks, c.micros, c.chunks)) {
      std::map<std::pair<int, Do>, int> last;
      for (const Action& a : program) {
        const auto [it, first] = last.try_emplace({a.stage, a.what}, -1);
        EXPECT_GT(a.micro, it->second) << to_string(a) << " in " << c.repro();
        it->second = a.micro;
      }
    }
}

TEST(ScheduleProperties, the_bubble_is_what_theory_says_where_theory_is_exact) {
  std::map<std::string, int> exact;
  for (const Costs& costs : {Costs{1, 1, 1, 0, {}}, Costs{3, 4, 2, 0, {}}, Costs{2, 1, 3, 0, {}}})
    for (const Case& c : all_cases()) {
      const auto theory = theoretical_bubble(c.kind, c.ranks, c.micros, c.chunks, costs);
      if (!theory) continue;
      const auto result = simulate(make_schedule(c.kind, c.ranks, c.micros, c.chunks), costs);
      EXPECT_NEAR(result.timeline.bubble(), *theory, 1e-12) << c.repro();
      ++exact[c.kind];
    }
  for (const auto kind : schedule_kinds) EXPECT_GT(exact[std::string(kind)], 100) << kind;
}

TEST(ScheduleProperties, activations_alive_are_what_each_kind_promises) {
  for (const Case& c : all_cases()) {
    const auto peaks =
        simulate(make_schedule(c.kind, c.ranks, c.micros, c.chunks), Costs{}).peak_activations;
    for (int rank = 0; rank < c.ranks; ++rank) {
      const int peak = peaks[static_cast<size_t>(rank)];
      const int most = c.kind == "gpipe"         ? c.micros
                       : c.kind == "1f1b"        ? c.ranks - rank
                       : c.kind == "zero_bubble" ? c.ranks
                       : c.kind == "zero_bubble_h2"
                           ? 2 * c.ranks - 1
                           : 2 * (c.ranks - 1 - rank) + (c.chunks - 1) * c.ranks + 1;
      EXPECT_LE(peak, std::min(c.micros * c.chunks, most)) << c.repro();
      EXPECT_TRUE(c.kind != "1f1b" || peak == std::min(c.micros, most)) << c.repro();
    }
  }
}

TEST(ScheduleProperties, zero_bubble_beats_1f1b_wherever_there_is_a_bubble) {
  for (int ranks = 2; ranks <= 16; ++ranks)
    for (int micros = ranks; micros <= 64; micros += 7) {
      const double zb = simulate(zero_bubble(ranks, micros), Costs{}).timeline.makespan_s();
      const double ob = simulate(one_f_one_b(ranks, micros), Costs{}).timeline.makespan_s();
      EXPECT_LT(zb, ob) << ranks << " ranks, " << micros << " micro-batches";
    }
}

// A last stage of few layers and a long head, as small models have: its own weight gradients are
// short work while the first rank's last backward pass is long.
TEST(ScheduleProperties, zero_bubble_h2_uses_the_memory_that_a_short_stage_leaves) {
  const int64_t layers[] = {8, 4};
  const Costs costs{1, 1, 1, 0, {1, 1}};
  const Schedule even = zero_bubble_h2(2, 8), uneven = zero_bubble_h2(2, 8, layers);
  EXPECT_EQ(simulate(uneven, costs).peak_activations, (std::vector{3, 6}));
  EXPECT_EQ(simulate(even, costs).peak_activations, (std::vector{3, 3}));
  verify(with_comms(uneven), 8);
}

std::string refusal(const std::string& text, int micros) {
  try {
    verify(parse_schedule(text), micros);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Verify, names_what_is_wrong_with_a_schedule) {
  EXPECT_EQ(refusal("0F0 0B0 0R", 1), "accepted");
  EXPECT_EQ(refusal("0F0 0R", 1), "0R of rank 0 comes before what it needs");
  EXPECT_EQ(refusal("0B0 0F0 0R", 1), "0B0 of rank 0 comes before what it needs");
  EXPECT_EQ(refusal("0F0 0F0 0B0 0R", 1), "0F0 of rank 0 happens twice");
  EXPECT_EQ(refusal("0F0 0B0 0I0 0R", 1), "0I0 of rank 0 is a second backward pass");
  EXPECT_EQ(refusal("0F0 0I0 0R", 1), "0R of rank 0 comes before what it needs");
  EXPECT_EQ(refusal("0F0 0B0", 1), "the schedule never reduces the gradients of stage 0");
  EXPECT_EQ(refusal("0F0 0B0 0R", 2), "0R of rank 0 comes before what it needs");
  EXPECT_EQ(refusal("0F0 0F1 0B0 0R", 1), "0F1 of rank 0 is beyond the 1 micro-batches");
  EXPECT_EQ(refusal("1F0 | 0F0", 1), "1F0 of rank 0 belongs to rank 1");
}

TEST(Verify, finds_transfers_that_pair_wrongly) {
  EXPECT_EQ(refusal("0F0 0F1 0SF1 0SF0 | 1RF0 1RF1", 2), "0SF1 of rank 0 meets 1RF0 of rank 1");
  EXPECT_EQ(refusal("0SF0", 1), "0SF0 of rank 0 has no other rank to talk to");
}

TEST(Verify, finds_a_deadlock_of_blocking_sends) {
  // Both ranks send first: it would work with buffers, and hang without.
  EXPECT_EQ(refusal("0F0 0SF0 0F1 0SF1 0RB0 0B0 0RB1 0B1 0R\n"
                    "1RF0 1F0 1B0 1SB0 1RF1 1F1 1B1 1SB1 1R\n",
                    2),
            "0SF1 of rank 0 waits for its peer forever: the schedule deadlocks");
}

}  // namespace
}  // namespace katman::testing
