// The script that a GPU is measured with gets one chance there: it is tried on an emulated one.
#include <gtest/gtest.h>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;

class GpuRun : public ::testing::Test {
 protected:
  // What a bundle holds, as far as measurements need it; `library` is its libkatman_cuda.so.
  void unpack(const std::string& library) {
    for (const char* folder : {"bin", "tests/gpu", "tests/bench"})
      fs::create_directories(bundle_ / folder);
    fs::copy(katman(), bundle_ / "bin/katman");
    fs::create_symlink("bin/katman", bundle_ / "katman");
    fs::copy(fs::path(KATMAN_BINARY_DIR) / library, bundle_ / "bin/libkatman_cuda.so");
    fs::copy(fs::path(KATMAN_SOURCE_DIR) / "tests/gpu/run", bundle_ / "tests/gpu/run");
  }
  Result run_parts(const std::string& parts) {
    // Whatever else this machine has is none of the script's peers.
    return run(
        {"/bin/sh", "-c",
         "cd " + bundle_.string() + " && CUDA_VISIBLE_DEVICES= LLMC= tests/gpu/run " + parts},
        std::chrono::seconds(280));
  }

  TempDir place_;
  const fs::path bundle_ = place_.path() / "katman";
};

TEST_F(GpuRun, fills_its_table_and_says_what_it_could_not_do) {
  unpack("libkatman_cuda_emulated.so");
  const Result result = run_parts("--tiny speed trace peers size");
  EXPECT_EQ(result.status, 0) << result.output;
  for (const char* row :
       {"katman tiny bf16, batch 2", "katman tiny fp8, batch 1", "katman tiny tf32, batch 1",
        ", 0 late allocations", "the same bits twice cost", "of the time with kernels of their own",
        "the device is busy for 90", "the largest model: tiny, recomputed", "llm.c", "passed in"})
    EXPECT_NE(result.output.find(row), std::string::npos) << row << " is not in\n" << result.output;
  for (const char* wrong : {"FAILED", "NOT FINISHED", "awk:", "unbound variable"})
    EXPECT_EQ(result.output.find(wrong), std::string::npos) << result.output;
}

TEST_F(GpuRun, goes_on_when_a_part_fails_or_is_late_and_fails_at_its_end) {
  unpack("libkatman_cuda_emulated.so");
  const Result result = run_parts("--tiny checks size");  // the test programs were not carried
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("FAILED (exit 127)"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("the largest model: tiny"), std::string::npos) << result.output;
  const Result late =
      run({"/bin/sh", "-c",
           "cd " + bundle_.string() + " && KATMAN_GPU_SECONDS=0 tests/gpu/run --tiny"});
  EXPECT_EQ(late.status, 1) << late.output;
  EXPECT_NE(late.output.find("NOT RUN: out of time"), std::string::npos) << late.output;
  EXPECT_NE(late.output.find("NOT ALL RUN in"), std::string::npos) << late.output;
}

TEST_F(GpuRun, says_that_there_is_no_gpu_where_there_is_none) {
  const fs::path library = fs::path(KATMAN_BINARY_DIR) / "libkatman_cuda.so";
  if (!fs::exists(library)) GTEST_SKIP() << "this build has no CUDA library";
  unpack("libkatman_cuda.so");
  const Result result = run_parts("");
  EXPECT_EQ(result.status, 3) << result.output;
  EXPECT_NE(result.output.find("no GPU that Katman can use"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("NVIDIA driver"), std::string::npos) << result.output;
}

// A library that lacks what it needs, as the one with cuDNN on a machine without it.
TEST_F(GpuRun, a_library_with_cudnn_that_cannot_be_loaded_leaves_the_one_without) {
  unpack("libkatman_cuda_emulated.so");
  place_.write("katman/bin/libkatman_cuda_cudnn.so", "needs a libcudnn.so.9 that is not there");
  const Result result = run({(bundle_ / "katman").string(), "bench", "step", "--device=cuda:0",
                             "--preset=tiny", "--micro-batch=1", "--steps=1", "--peak=0"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("does without cuDNN"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("an emulation"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace katman::testing
