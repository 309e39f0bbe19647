#include "orchestrator/doctor/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "orchestrator/doctor/host.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(HostMemory, is_the_machines_unless_a_container_has_less) {
  const TempDir root;
  write(root.path() / "proc/meminfo", "MemTotal:  8000000 kB\nMemAvailable: 6000000 kB\n");
  EXPECT_EQ(host_memory(root.path()).total, 8000000ll * 1024);
  EXPECT_EQ(host_memory(root.path()).available, 6000000ll * 1024);
  write(root.path() / "sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(host_memory(root.path()).total, 8000000ll * 1024);
  write(root.path() / "sys/fs/cgroup/memory.max", "4000000000\n");
  write(root.path() / "sys/fs/cgroup/memory.current", "1000000000\n");
  EXPECT_EQ(host_memory(root.path()).total, 4000000000);
  EXPECT_EQ(host_memory(root.path()).available, 3000000000);
}

TEST(HostMemory, a_limit_beyond_the_machine_changes_nothing) {
  const TempDir root;
  write(root.path() / "proc/meminfo", "MemTotal:  1000 kB\nMemAvailable: 600 kB\n");
  write(root.path() / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(host_memory(root.path()).available, 600 * 1024);
}

TEST(Processor, names_what_kernels_can_use) {
  const TempDir root;
  write(root.path() / "proc/cpuinfo",
        "processor : 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_bf16 sse\n");
  const Processor found = processor(root.path());
  EXPECT_EQ(found.model, "Some CPU");
  EXPECT_EQ(found.flags, (std::vector<std::string>{"avx2", "avx512f", "avx512_bf16"}));
  EXPECT_GE(found.cores, 1);
}

TEST(Doctor, has_a_word_of_advice_for_everything_that_is_not_well) {
  const auto findings = examine(fs::current_path());
  for (const char* what : {"processor", "memory", "disk", "MPI", "shared memory", "clock",
                           "NVIDIA driver", "CUDA library", "CUDA devices", "NCCL", "cuDNN"})
    EXPECT_EQ(std::ranges::count(findings, what, &Finding::what), 1) << what;
  for (const Finding& finding : findings) {
    EXPECT_FALSE(finding.found.empty()) << finding.what;
    EXPECT_EQ(finding.advice.empty(), finding.state == Finding::State::ok) << finding.what;
  }
}

}  // namespace
}  // namespace katman::testing
