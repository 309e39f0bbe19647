#include "orchestrator/bench/trace.h"

#include <gtest/gtest.h>

namespace katman {
namespace {

TEST(TraceFigures, a_device_is_busy_while_anything_runs) {
  // 100 to 200, meanwhile 150 to 180 and 190 to 250; nothing until 300; 300 to 350.
  const TraceFigures f =
      summarise({{"a", 100, 200}, {"b", 150, 180}, {"a", 190, 250}, {"copy", 300, 350}}, 2);
  EXPECT_EQ(f.steps, 2);
  EXPECT_EQ(f.activities, 4);
  EXPECT_DOUBLE_EQ(f.seconds, 250e-9);
  EXPECT_DOUBLE_EQ(f.busy, 200.0 / 250);
  EXPECT_DOUBLE_EQ(f.longest_gap_s, 50e-9);
  ASSERT_EQ(f.kernels.size(), 3u);
  EXPECT_EQ(f.kernels[0].name, "a");
  EXPECT_EQ(f.kernels[0].calls, 2);
  EXPECT_DOUBLE_EQ(f.kernels[0].seconds, 160e-9);
  EXPECT_EQ(f.kernels[2].name, "b");
}

TEST(TraceFigures, nothing_is_busy_for_nothing) { EXPECT_EQ(summarise({}, 1).busy, 0); }

TEST(TraceFigures, kernels_go_by_their_names) {
  EXPECT_EQ(short_kernel_name("void katman::kernels::(anonymous namespace)::adamw_kernel<4, "
                              "katman::bf16>(katman::AdamWStep, katman::bf16*, long)"),
            "adamw_kernel<4, bf16>");
  EXPECT_EQ(short_kernel_name("nvjet_tst_256x128_64x4_2x1_v_bz_coopA_TNN"),
            "nvjet_tst_256x128_64x4_2x1_v_bz_coopA_TNN");
  EXPECT_EQ(short_kernel_name("void f<(int)3, g(int)>(float*)"), "f<(int)3, g(int)>");
  EXPECT_EQ(short_kernel_name("copy"), "copy");
}

}  // namespace
}  // namespace katman
