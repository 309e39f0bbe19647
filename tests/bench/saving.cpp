// What a checkpoint costs: how long training stands still for one, and saving and loading beside
// what memory and the disk do without us, all in one run.
//
//   bench_saving [--model gpt2-124m] [--directory .] [--threads 2]
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>

#include "core/model/presets.h"
#include "core/random.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/rank_file.h"
#include "parallel/comm/threads.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

namespace fs = std::filesystem;

struct Request {
  std::string model = "gpt2-124m", directory = ".";
  int threads = 0, rounds = 3;
};

double seconds_of(const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void show(const char* what, double seconds, int64_t bytes, double beside = 0) {
  fmt::print("{:<44}{:8.3f} s{:9.2f} GB/s", what, seconds,
             static_cast<double>(bytes) * 1e-9 / seconds);
  if (beside > 0) fmt::print("   {:.2f} of that speed", beside / seconds);
  fmt::print("\n");
}

// The same number of bytes, straight to the disk.
void write_plainly(const fs::path& path, const std::vector<char>& block, int64_t bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  require(file >= 0, "cannot create {}", path.string());
  for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(block.size()))
    require(write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size()),
            "cannot write {}", path.string());
  require(fsync(file) == 0, "cannot sync {}", path.string());
  close(file);
}

void read_plainly(const fs::path& path, std::vector<char>& block) {
  const int file = open(path.c_str(), O_RDONLY);
  require(file >= 0, "cannot open {}", path.string());
  while (read(file, block.data(), block.size()) > 0) {
  }
  close(file);
}

void measure(const Request& request) {
  TrainConfig config;
  config.model = gpt_preset(request.model);
  config.batch_sequences = config.micro_batch = 1;
  config.precision = DType::bf16;
  const auto backend = make_backend("cpu", request.threads);
  ThreadWorld world(1);
  const auto comm = world.comm(0);
  const Samples random_tokens = windows([](uint64_t sample, std::span<int32_t> tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<int32_t>(random_bits(Key(sample), i) % 50000);
  });
  Trainer trainer(config, *backend, *comm, random_tokens);
  trainer.step({});
  const double step_s = trainer.step({}).seconds;
  const std::vector<Piece> pieces = trainer.optimizer().pieces();
  const int64_t bytes = Snapshot::bytes_of(pieces, false);
  fmt::print("{}: {:.2f} GB of masters and moments; a step of {} tokens takes {:.2f} s\n",
             request.model, static_cast<double>(bytes) * 1e-9, config.model.sequence, step_s);

  const fs::path directory = fs::path(request.directory) / "bench_saving.files";
  fs::create_directories(directory);
  CheckpointStore store(directory / "checkpoints", {.keep_last = 1}, *backend, *comm);
  store.prepare(pieces);
  store.finish();
  std::vector<char> from(64 << 20, 1), to(64 << 20, 2);
  for (int round = 0; round < request.rounds; ++round) {
    const double copy_s = seconds_of([&] {
      for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(from.size()))
        std::memcpy(to.data(), from.data(), from.size());
    });
    show("copying as much in memory, one thread", copy_s, bytes);
    CheckpointInfo info;
    info.step = round + 1;
    info.model = config.model;
    const double still_s = seconds_of([&] { store.save(info, pieces); });
    show("a save: training stands still", still_s, bytes, copy_s);
    const double rest_s = seconds_of([&] { require(store.finish(), "the save failed"); });
    const fs::path plain = directory / "plain";
    const double write_s = seconds_of([&] { write_plainly(plain, from, bytes); });
    show("writing as much to the disk, and fsync", write_s, bytes);
    show("a save, from its start to its commit", still_s + rest_s, bytes, write_s);
    const double read_s = seconds_of([&] { read_plainly(plain, to); });
    fs::remove(plain);
    show("reading as much again", read_s, bytes);
    const auto checkpoint = find_checkpoint(directory / "checkpoints");
    const double load_s = seconds_of([&] { load_checkpoint(checkpoint, pieces, *backend); });
    show("a load", load_s, bytes, read_s);
    fmt::print("standing still is {:.2f} of a step\n\n", still_s / step_s);
  }
  fs::remove_all(directory);
}

}  // namespace
}  // namespace katman

int main(int argc, char** argv) try {
  katman::Request request;
  CLI::App app("What a checkpoint costs.");
  app.add_option("--model", request.model);
  app.add_option("--directory", request.directory, "on the disk to measure");
  app.add_option("--threads", request.threads);
  app.add_option("--rounds", request.rounds);
  CLI11_PARSE(app, argc, argv);
  katman::measure(request);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
