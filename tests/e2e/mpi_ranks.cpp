// One rank of the tests that need real processes; started several times by mpirun, see
// mpirun_test.cpp. Exits with 0 when what its first argument names holds on this rank.
#include <cmath>
#include <cstdio>
#include <thread>

#include "parallel/comm/mpi.h"
#include "parallel/comm/staged.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/far_backend.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

using namespace std::chrono_literals;

void conformance(Comm& world, Backend& device) {
  for (const CommCase& property : comm_cases()) {
    try {
      property.run(world, device);
    } catch (const Error& error) {
      fail("{} does not hold: {}", property.name, error.what());
    }
  }
}

// Tensors of a device over MPI.
void staged(Comm& world) {
  const auto device = make_far_backend("reference");
  const auto over = make_staged_comm(world.split(0, world.rank(), "staged world"), device->queue());
  conformance(*over, *device);
}

// `expected` must be part of the error that `act` throws.
template <class Act>
void expect_error(const std::string& expected, Act act) {
  try {
    act();
  } catch (const Error& error) {
    require(std::string(error.what()).find(expected) != std::string::npos,
            "the error is '{}', without '{}'", error.what(), expected);
    return;
  }
  fail("nothing was thrown, '{}' was expected", expected);
}

void missing(Comm& world) {
  const auto group = world.split(0, world.rank(), "dp");
  if (world.rank() == 1) return std::this_thread::sleep_for(1500ms);
  expect_error("dp: all_reduce number 0 waited 500 ms for rank 1",
               [&] { group->all_reduce(host_tensor({100}, DType::f32)).wait(); });
}

void mismatch(Comm& world) {
  const int64_t mine = 4 + world.rank() % 2, theirs = 9 - mine;
  expect_error(fmt::format("this rank calls all_reduce of F32 [{}]", mine),
               [&] { world.all_reduce(host_tensor({mine}, DType::f32)).wait(); });
  expect_error(fmt::format("calls all_reduce of F32 [{}]", theirs),
               [&] { world.all_reduce(host_tensor({mine}, DType::f32)).wait(); });
}

// The whole trainer on real processes, against one rank on a thread.
void train(Comm& world, const Mesh& mesh, const std::string& schedule) {
  TrainConfig config = tiny_run(mesh);
  config.schedule = schedule;
  config.sequence_parallel = mesh.tp > 1;
  constexpr int steps = 5;
  const Trained one = train_on_threads(tiny_run(), steps);
  const auto backend = make_backend("reference");
  Trainer trainer(config, *backend, world, tiny_samples);
  for (int step = 0; step < steps; ++step) {
    const double want = one.reports[static_cast<size_t>(step)].loss;
    const double got = trainer.step({}).loss;
    require(std::abs(got - want) < 1e-5 * want, "the loss of step {} is {}, not {}, with {}", step,
            got, want, repro(config));
  }
}

void run_case(const std::vector<std::string>& words) {
  const std::string& name = words.at(0);
  MpiSession session(name == "missing" ? 500ms : 20s);
  const auto world = session.world();
  if (name == "conformance") conformance(*world, *make_backend("reference"));
  if (name == "staged") staged(*world);
  if (name == "missing") missing(*world);
  if (name == "mismatch") mismatch(*world);
  if (name == "throw" && world->rank() == 1) fail("the disk is full");
  if (name == "throw") world->barrier();
  if (name == "train")
    train(*world, {std::stoi(words.at(1)), std::stoi(words.at(2)), std::stoi(words.at(3))},
          words.at(4));
}

}  // namespace
}  // namespace katman::testing

int main(int argc, char** argv) try {
  katman::testing::run_case({argv + 1, argv + argc});
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
