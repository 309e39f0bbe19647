// One rank of the tests that need real processes; started several times by mpirun, see
// mpirun_test.cpp. Exits with 0 when what its first argument names holds on this rank.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
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

// Two ranks disagree about size, type or operation: both hear of both.
void mismatch(Comm& world, const std::string& about) {
  const auto tensor = [](int64_t size, DType type) { return host_tensor({size}, type); };
  const bool first = world.rank() == 0;
  const auto call = [&](bool as_first) -> std::pair<std::string, std::function<void()>> {
    if (about == "size" && !as_first)
      return {"all_reduce of F32 [5]", [&] { world.all_reduce(tensor(5, DType::f32)).wait(); }};
    if (about == "type" && !as_first)
      return {"all_reduce of BF16 [4]", [&] { world.all_reduce(tensor(4, DType::bf16)).wait(); }};
    if (about == "operation" && !as_first) return {"barrier of", [&] { world.barrier(); }};
    return {"all_reduce of F32 [4]", [&] { world.all_reduce(tensor(4, DType::f32)).wait(); }};
  };
  const auto [mine, act] = call(first);
  try {
    act();
  } catch (const Error& error) {
    const std::string sentence = error.what();
    for (const std::string& part : {"this rank calls " + mine, "calls " + call(!first).first})
      require(sentence.find(part) != std::string::npos, "the error is '{}', without '{}'", sentence,
              part);
    return;
  }
  fail("ranks that disagree about the {} were not told", about);
}

// A transfer goes on while its sender computes: this one says that it is done only when the
// receiver, through the file `flag`, says that everything has come.
void progress(Comm& world, const std::string& flag) {
  const Tensor t = host_tensor({16 << 20}, DType::f32);  // far beyond what MPI sends eagerly
  Work work = world.rank() == 0 ? world.send(t, 1) : world.recv(t, 0);
  if (world.rank() == 1) {
    work.wait();
    std::ofstream(flag) << "all has come";
    return;
  }
  const auto end = std::chrono::steady_clock::now() + 15s;
  while (!std::filesystem::exists(flag)) {
    require(std::chrono::steady_clock::now() < end, "a send does not move while its rank computes");
    std::this_thread::sleep_for(1ms);
  }
  work.wait();
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
  if (name == "mismatch") mismatch(*world, words.at(1));
  if (name == "throw" && world->rank() == 1) fail("the disk is full");
  if (name == "throw") world->barrier();
  if (name == "progress") progress(*world, words.at(1));
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
