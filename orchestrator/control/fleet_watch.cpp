// What silence and standing still mean, and what is done about it.
#include <algorithm>

#include "core/error.h"
#include "orchestrator/control/fleet.h"

namespace katman {
namespace {

// How often the end of processes that do not go is asked for again.
constexpr double kill_again_s = 5;
// When nothing was heard or seen for this long, it was us who slept.
constexpr double slept_s = 5;
constexpr size_t most_named = 3;

std::string name_of(const RankView& rank) {
  return fmt::format("rank {} ({}, process {})", rank.rank(), rank.host(), rank.process());
}

// Who keeps everybody waiting, as far as the ranks said: whoever is silent, else who waits for
// nobody; and what some of the others wait for.
std::string blame(const std::map<int, RankView>& ranks, double now, double suspect_s) {
  std::vector<std::string> culprits, waiting;
  for (const auto& [number, rank] : ranks) {
    const double quiet = now - rank.heard_at();
    if (quiet > suspect_s)
      culprits.push_back(fmt::format("no word from {} for {:.0f} s", name_of(rank), quiet));
    else if (rank.waits_for().empty())
      culprits.push_back(name_of(rank) + " is busy and waits for nobody");
    else
      waiting.push_back(fmt::format("rank {} waits for {}", rank.rank(), rank.waits_for()));
  }
  std::string text;
  for (const auto* list : {&culprits, &waiting})
    for (size_t i = 0; i < std::min(most_named, list->size()); ++i) text += "; " + (*list)[i];
  return text;
}

}  // namespace

void Fleet::kill(Entry& entry, const std::string& why, double now, Effects& out) {
  entry.killed_at = now;
  entry.view.set_ending(true);
  out.kills.push_back({entry.view.name(), entry.view.generation()});
  out.changed.push_back(entry.view.name());
  note(entry, "kill", why, now, out);
}

// A machine that was suspended, or an orchestrator that was stopped, heard nobody: that says
// nothing about the workers.
void Fleet::forgive_pause(double now) {
  const double slept = passed_at_ > 0 ? now - passed_at_ : 0;
  passed_at_ = now;
  if (slept < slept_s) return;
  for (auto& [name, entry] : entries_) {
    entry.view.set_heard_at(entry.view.heard_at() + slept);
    entry.view.set_moved_at(entry.view.moved_at() + slept);
    for (auto& [number, rank] : entry.ranks) rank.set_heard_at(rank.heard_at() + slept);
  }
}

const RankView* Fleet::quietest(const Entry& entry) const {
  const RankView* quietest = nullptr;
  for (const auto& [number, rank] : entry.ranks)
    if (!quietest || rank.heard_at() < quietest->heard_at()) quietest = &rank;
  return quietest;
}

void Fleet::suspect(Entry& entry, double now, Effects& out) {
  const RankView* rank = quietest(entry);
  // A step needs every rank: while there are some, all live.
  const double quiet = rank ? now - std::max(rank->heard_at(), entry.view.moved_at()) : 0;
  const std::string suspected = quiet > policy_.suspect_s ? name_of(*rank) : "";
  if (suspected == entry.view.suspect()) return;
  entry.view.set_suspect(suspected);
  out.changed.push_back(entry.view.name());
  if (!suspected.empty())
    note(entry, "suspect", fmt::format("no word from {} for {:.0f} s", suspected, quiet), now, out);
}

void Fleet::watch(Entry& entry, double now, Effects& out) {
  const RunView& view = entry.view;
  const double still = now - view.moved_at();
  const auto give_up = [&](const std::string& what) {
    const std::string why = what + blame(entry.ranks, now, policy_.suspect_s);
    if (view.desired() == RunView::RUN && !view.relaunch())
      move(entry, RunView::RECOVERING, why, now, out);
    kill(entry, why, now, out);
  };
  if (view.ending()) {
    if (now - entry.killed_at >= kill_again_s) kill(entry, "again: it is still there", now, out);
    return;
  }
  if (view.waiting()) {
    // Nobody is there to save; the job must not start any more.
    if (view.desired() != RunView::RUN || view.relaunch()) kill(entry, view.why(), now, out);
    return;
  }
  suspect(entry, now, out);
  const RankView* rank = quietest(entry);
  const double hang_s = std::max(policy_.hang_floor_s, policy_.hang_factor * view.p99_step_s());
  if (rank && std::min(now - rank->heard_at(), still) > policy_.silent_s) {
    give_up(fmt::format("no step for {:.0f} s", still));
  } else if (view.phase() != TRAINING) {
    if (still > policy_.setup_s) give_up(fmt::format("no step for {:.0f} s", still));
  } else if (still > hang_s) {
    give_up(fmt::format("no step for {:.0f} s, where 99 of 100 took at most {:.1f} s", still,
                        view.p99_step_s()));
  }
}

}  // namespace katman
