// A SLURM of one node, on loopback, as whoever runs the tests.
#pragma once

#include <memory>
#include <string>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {

// munged, slurmctld and slurmd with everything of theirs in a directory of their own; SLURM_CONF
// says where, as long as this lives. Afterwards no process of theirs is left.
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
  void wait_for_node();

  TempDir dir_;
  std::unique_ptr<Process> munge_, control_, node_;
};

}  // namespace katman::testing
