// A SLURM of two nodes of four cores, on loopback, as whoever runs the tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {

// munged, slurmctld and two slurmd with everything of theirs in a directory of their own;
// SLURM_CONF says where, as long as this lives. Afterwards no process of theirs is left. Jobs go to
// the partition all; those of the partition urgent take nodes from them, which is announced 20 s
// before.
class Slurm {
 public:
  static bool installed();
  // deploy/slurm/train.
  static std::string job_script();

  Slurm();
  ~Slurm();
  Slurm(const Slurm&) = delete;
  Slurm& operator=(const Slurm&) = delete;

 private:
  void configure(const std::string& host);
  void wait_for_nodes();

  TempDir dir_;
  std::unique_ptr<Process> munge_, control_;
  std::vector<std::unique_ptr<Process>> nodes_;
};

}  // namespace katman::testing
