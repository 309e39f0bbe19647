// Real processes under mpirun: also as root, also with more ranks than cores.
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <chrono>

#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome mpirun(int ranks, const std::string& arguments) {
  const std::string command = "mpirun --allow-run-as-root --oversubscribe -n " +
                              std::to_string(ranks) + " " KATMAN_BINARY_DIR "/mpi_ranks " +
                              arguments + " 2>&1";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return outcome;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

void expect_success(int ranks, const std::string& arguments) {
  const Outcome outcome = mpirun(ranks, arguments);
  EXPECT_EQ(outcome.status, 0) << "mpirun -n " << ranks << " mpi_ranks " << arguments << "\n"
                               << outcome.output;
}

TEST(Mpirun, every_property_of_communicators_holds_between_processes) {
  for (int ranks : {1, 2, 3, 4}) expect_success(ranks, "conformance");
}

TEST(Mpirun, they_hold_for_tensors_of_a_device_that_travel_through_the_host) {
  for (int ranks : {1, 3}) expect_success(ranks, "staged");
}

TEST(Mpirun, a_rank_that_does_not_come_is_named_after_the_deadline) {
  expect_success(3, "missing");
}

TEST(Mpirun, a_transfer_moves_while_its_sender_computes) {
  const TempDir dir;
  expect_success(2, "progress " + dir.file("flag"));
}

TEST(Mpirun, ranks_that_disagree_about_size_type_or_operation_are_named) {
  for (const char* about : {"size", "type", "operation"})
    expect_success(2, std::string("mismatch ") + about);
}

TEST(Mpirun, a_rank_that_throws_ends_the_job_at_once_with_its_message) {
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = mpirun(2, "throw");
  EXPECT_NE(outcome.status, 0);
  EXPECT_NE(outcome.output.find("the disk is full"), std::string::npos) << outcome.output;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST(Mpirun, training_gives_one_ranks_losses) {
  expect_success(4, "train 2 1 2 zero_bubble");
  expect_success(4, "train 1 2 2 1f1b");
  expect_success(4, "train 2 2 1 1f1b");
}

}  // namespace
}  // namespace katman::testing
