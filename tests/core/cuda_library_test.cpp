// How a GPU is asked for, and what a machine without one says.
#include "core/cuda_library.h"

#include <gtest/gtest.h>

namespace katman {
namespace {

TEST(CudaLibrary, a_kind_names_its_device) {
  EXPECT_EQ(cuda_device_of("cuda"), 0);
  EXPECT_EQ(cuda_device_of("cuda:3"), 3);
  EXPECT_EQ(cuda_device_of("cpu"), std::nullopt);
  for (const char* wrong : {"cuda:", "cuda:x", "cuda:-1", "cuda:1 "})
    EXPECT_THROW((void)cuda_device_of(wrong), UsageError) << wrong;
}

TEST(CudaLibrary, a_library_that_is_missing_is_named) {
  try {
    CudaLibrary library("/nowhere/libkatman_cuda.so");
    FAIL() << "a missing library was loaded";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/libkatman_cuda.so"), std::string::npos);
  }
}

// On any machine: a backend that works, or one sentence that says why there is none.
TEST(CudaLibrary, asking_for_a_gpu_gives_one_or_says_what_is_missing) {
  try {
    const auto backend = make_backend("cuda:0");
    EXPECT_EQ(backend->name().rfind("cuda:0 (", 0), 0u) << backend->name();
  } catch (const Error& error) {
    const std::string what = error.what();
    const bool clear = what.find("driver") != std::string::npos ||
                       what.find("no libkatman_cuda.so beside") != std::string::npos ||
                       what.find("cannot load") != std::string::npos;
    EXPECT_TRUE(clear) << what;
  }
}

}  // namespace
}  // namespace katman
