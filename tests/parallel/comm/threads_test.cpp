#include "parallel/comm/threads.h"

#include <gtest/gtest.h>

#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {
using namespace std::chrono_literals;

// The message of the error that fn throws on n ranks.
std::string failure_of(int n, const std::function<void(Comm&)>& fn,
                       std::chrono::milliseconds deadline = 20s) {
  try {
    run_ranks(n, fn, deadline);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ThreadComm, names_the_missing_rank_after_the_deadline) {
  const auto message = failure_of(
      3,
      [](Comm& world) {
        const auto group = world.split(0, world.rank(), "dp");
        group->barrier();
        if (group->rank() == 1) return;
        const Tensor t = host_tensor({4}, DType::f32);
        group->all_reduce(t).wait();
      },
      100ms);
  EXPECT_EQ(message, "dp: all_reduce number 1 waited 100 ms for rank 1 of 3");
}

TEST(ThreadComm, names_the_sender_that_does_not_come) {
  const auto message = failure_of(
      2,
      [](Comm& world) {
        if (world.rank() == 0) return;
        world.recv(host_tensor({4}, DType::f32), 0).wait();
      },
      100ms);
  EXPECT_EQ(message, "world of rank 1: recv from rank 0 number 0 waited 100 ms for rank 0");
}

TEST(ThreadComm, a_send_without_its_receive_does_not_complete) {
  const auto message = failure_of(
      2,
      [](Comm& world) {
        if (world.rank() == 0) world.send(host_tensor({4}, DType::f32), 1).wait();
      },
      100ms);
  EXPECT_EQ(message, "world of rank 0: send to rank 1 number 0 waited 100 ms for rank 1");
}

TEST(ThreadComm, names_ranks_that_disagree_about_the_size) {
  const auto message = failure_of(
      2, [](Comm& world) { world.all_reduce(host_tensor({4 + world.rank()}, DType::f32)).wait(); });
  EXPECT_NE(message.find("all_reduce of F32 [4]"), std::string::npos) << message;
  EXPECT_NE(message.find("all_reduce of F32 [5]"), std::string::npos) << message;
}

TEST(ThreadComm, names_ranks_that_disagree_about_the_operation_or_the_type) {
  auto message = failure_of(2, [](Comm& world) {
    if (world.rank() == 0) return world.barrier();
    world.all_reduce(host_tensor({4}, DType::f32)).wait();
  });
  EXPECT_NE(message.find("barrier"), std::string::npos) << message;
  EXPECT_NE(message.find("all_reduce"), std::string::npos) << message;
  message = failure_of(2, [](Comm& world) {
    world.all_reduce(host_tensor({4}, world.rank() ? DType::f32 : DType::bf16)).wait();
  });
  EXPECT_NE(message.find("BF16 [4]"), std::string::npos) << message;
}

TEST(ThreadComm, names_a_transfer_of_the_wrong_size) {
  const auto message = failure_of(2, [](Comm& world) {
    if (world.rank() == 0) world.send(host_tensor({4}, DType::f32), 1).wait();
    if (world.rank() == 1) world.recv(host_tensor({5}, DType::f32), 0).wait();
  });
  EXPECT_NE(message.find("F32 [4] is sent while F32 [5] is expected"), std::string::npos)
      << message;
}

TEST(ThreadComm, a_rank_that_throws_frees_the_others_at_once) {
  const auto begin = std::chrono::steady_clock::now();
  const auto message = failure_of(4, [](Comm& world) {
    const auto pair = world.split(world.rank() / 2, world.rank(), "pair");
    if (world.rank() == 3) fail("the disk is full");
    if (world.rank() == 2) pair->barrier();
    if (world.rank() < 2) world.barrier();
  });
  EXPECT_EQ(message, "the disk is full");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);  // the deadline is 20 s
}

}  // namespace
}  // namespace katman::testing
