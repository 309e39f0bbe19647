// Ranks of a real run on machines that are dealt out badly.
#include "orchestrator/launch/placement.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/service.h"

namespace katman::testing {
namespace {

// Processes take turns on two machines, as srun --distribution=cyclic has it. The machines are
// names: each process has its own idea of what this one is called.
TEST(Placement, tensor_groups_come_together_though_processes_were_dealt_out_in_turn) {
  const std::string in_turn = small_run().path("in_turn");
  const auto library = std::filesystem::path(katman()).parent_path() / "librenamed_host.so";
  std::ofstream(in_turn) << "#!/bin/sh\nLD_PRELOAD=" << library.string() << " exec \"$@\"\n";
  std::filesystem::permissions(in_turn, std::filesystem::perms::owner_all);
  Service service(
      "in-turn",
      {"--launcher=command", "--slots=4",
       "--command=mpirun --allow-run-as-root --oversubscribe --bind-to none -n {ranks} " + in_turn +
           " {worker}"});
  service.submit("a", {"steps=1000000", "mesh.tp=2", "mesh.dp=2", "device.threads=1"});
  service.wait_for("a", RunView::RUNNING, 1);
  std::string shown;
  service.eventually("all ranks have said where they are", [&] {
    shown = run({katman(), "runs", "show", "a", "--to", service.reach().address}).output;
    return shown.find("n1: ") != std::string::npos;
  });
  EXPECT_NE(shown.find("n0: ranks 0 1 (tp 0-1, dp 0, pp 0)\n"
                       "n1: ranks 2 3 (tp 0-1, dp 1, pp 0)\n"),
            std::string::npos)
      << shown;
}

}  // namespace
}  // namespace katman::testing
