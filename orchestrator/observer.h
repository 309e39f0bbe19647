// What the ranks of a run tell about themselves: how long each computed, stood waiting for others
// or for data, what memory it holds and where it runs; and what the pipeline's stages did in a
// step.
//
//   RUN/ranks.json              the newest figures of all ranks, written by rank 0
//   RUN/timelines/stage-P       the spans of one step of the first replica, by each of its stages
//
// Every two seconds or so, after a step that all ranks agree on, one all-gather of about a hundred
// bytes per rank: what it costs does not grow with the speed of steps. The files are for who looks
// at the run now; they are replaced whole, but not forced to the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/comm.h"
#include "parallel/groups.h"
#include "parallel/pipeline/timeline.h"

namespace katman {

class Observer {
 public:
  // world, backend: outlive this; nothing else may use `world` at the same time. directory: the
  // run's.
  Observer(Comm& world, Backend& backend, const Mesh& mesh, std::filesystem::path directory,
           uint64_t generation);

  // What one step took on this rank.
  struct Step {
    int64_t step = 0;
    double seconds = 0;  // all of it
    double wait_s = 0;   // of that: for other ranks
    double data_s = 0;   // of that: for data
  };
  // Collective, after every step. The largest resident memory of all ranks, in bytes, when it was
  // the turn of this step.
  std::optional<double> after(const Step& step, const std::vector<Span>& timeline);
  // What this rank's stage did in its last step, if it is one of the first replica.
  void write_timeline(const std::vector<Span>& timeline) const;

 private:
  struct Figures;
  std::vector<Figures> gather(const Figures& mine);
  void write_ranks(int64_t step, const std::vector<Figures>& all) const;

  Comm& world_;
  Backend& backend_;
  Mesh mesh_;
  std::filesystem::path directory_;
  uint64_t generation_;
  Step sum_;  // since the last turn
  int64_t steps_ = 0, turn_ = 1;
};

}  // namespace katman
