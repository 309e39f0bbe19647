#include "orchestrator/observer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/host_name.h"
#include "core/log.h"
#include "orchestrator/control/clock.h"
#include "parallel/pipeline/draw.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr double between_turns_s = 2;
constexpr int64_t longest_turn = 4096;  // steps

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t whole = 0, resident = 0;
  in >> whole >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Whole or not at all for who reads it; lost with the machine. Training goes on when the disk is
// full.
void replace(const fs::path& path, const std::string& text) {
  const fs::path fresh = path.string() + ".new";
  std::ofstream out(fresh, std::ios::binary);
  out << text;
  out.close();
  std::error_code failed;
  if (out.good()) fs::rename(fresh, path, failed);
  if (!out.good() || failed) spdlog::debug("{} could not be written", path.string());
}

}  // namespace

// One rank's, as they travel. Means over the steps since the last turn.
struct Observer::Figures {
  double seconds = 0, wait_s = 0, data_s = 0;
  int64_t resident_bytes = 0;
  int64_t next_turn = 1;  // steps until then; rank 0's counts
  std::array<char, 64> host{};
};

Observer::Observer(Comm& world, Backend& backend, const Mesh& mesh, fs::path directory,
                   uint64_t generation)
    : world_(world),
      backend_(backend),
      mesh_(mesh),
      directory_(std::move(directory)),
      generation_(generation) {
  fs::create_directories(directory_ / "timelines");
}

std::vector<Observer::Figures> Observer::gather(const Figures& mine) {
  const auto bytes = static_cast<int64_t>(sizeof mine);
  const Tensor all = backend_.empty({world_.size(), bytes}, DType::u8);
  const Tensor slice = all.slice(world_.rank(), 1);
  backend_.upload(&mine, slice);
  world_.all_gather(slice, all).wait();
  std::vector<Figures> figures(static_cast<size_t>(world_.size()));
  backend_.download(all, figures.data());
  return figures;
}

std::optional<double> Observer::after(const Step& step, const std::vector<Span>& timeline) {
  sum_.seconds += step.seconds;
  sum_.wait_s += step.wait_s;
  sum_.data_s += step.data_s;
  if (++steps_ < turn_) return std::nullopt;
  const auto mean = [&](double sum) { return sum / static_cast<double>(steps_); };
  Figures mine{.seconds = mean(sum_.seconds),
               .wait_s = mean(sum_.wait_s),
               .data_s = mean(sum_.data_s),
               .resident_bytes = resident_bytes(),
               .next_turn = std::clamp(static_cast<int64_t>(between_turns_s / step.seconds),
                                       int64_t{1}, longest_turn)};
  host_name().copy(mine.host.data(), mine.host.size() - 1);
  const std::vector<Figures> all = gather(mine);
  sum_ = {};
  steps_ = 0;
  turn_ = all[0].next_turn;
  write_timeline(timeline);
  if (world_.rank() == 0) write_ranks(step.step, all);
  return static_cast<double>(std::ranges::max(all, {}, &Figures::resident_bytes).resident_bytes);
}

void Observer::write_timeline(const std::vector<Span>& timeline) const {
  const Place place = mesh_.place(world_.rank());
  if (place.tp == 0 && place.dp == 0)
    replace(directory_ / "timelines" / fmt::format("stage-{}", place.pp), to_text(timeline));
}

void Observer::write_ranks(int64_t step, const std::vector<Figures>& all) const {
  auto ranks = nlohmann::json::array();
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Figures& figures = all[rank];
    const Place place = mesh_.place(static_cast<int>(rank));
    ranks.push_back({{"rank", rank},
                     {"tp", place.tp},
                     {"dp", place.dp},
                     {"pp", place.pp},
                     {"host", figures.host.data()},
                     {"step_s", figures.seconds},
                     {"wait_s", figures.wait_s},
                     {"data_s", figures.data_s},
                     {"busy_s", figures.seconds - figures.wait_s - figures.data_s},
                     {"resident_bytes", figures.resident_bytes}});
  }
  const nlohmann::json whole = {{"step", step},
                                {"generation", generation_},
                                {"time", unix_now()},
                                {"mesh", {{"tp", mesh_.tp}, {"dp", mesh_.dp}, {"pp", mesh_.pp}}},
                                {"ranks", ranks}};
  replace(directory_ / "ranks.json", whole.dump());
}

}  // namespace katman
