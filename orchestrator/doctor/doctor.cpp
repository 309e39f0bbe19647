#include "orchestrator/doctor/doctor.h"

#include <fmt/ranges.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <ctime>

#include "core/backend.h"
#include "orchestrator/doctor/gpu.h"
#include "orchestrator/doctor/host.h"
#include "orchestrator/launch/mpirun.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using State = Finding::State;

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

Finding cores() {
  const Processor found = processor();
  const bool fast = !found.flags.empty();
  return {fast ? State::ok : State::absent, "processor",
          fmt::format("{}, {} cores, {}", found.model, found.cores,
                      fast ? fmt::format("{}", fmt::join(found.flags, " ")) : "no AVX2"),
          fast ? "" : "it works, slowly: use a processor with AVX2 or, better, AVX-512"};
}

Finding memory() {
  const HostMemory found = host_memory();
  const bool enough = found.available > int64_t{1} << 30;
  return {enough ? State::ok : State::missing, "memory",
          fmt::format("{:.1f} GB of {:.1f} GB are free", gigabytes(found.available),
                      gigabytes(found.total)),
          enough ? "" : "end other programs: a small model needs 1 GB; katman plan says how much"};
}

int64_t free_bytes(const fs::path& directory) {
  struct statvfs place {};
  if (statvfs(directory.c_str(), &place) != 0) return -1;
  return static_cast<int64_t>(place.f_bavail) * static_cast<int64_t>(place.f_frsize);
}

Finding disk(const fs::path& directory) {
  const int64_t bytes = free_bytes(directory);
  const bool enough = bytes > int64_t{2} << 30;
  return {enough ? State::ok : State::missing, "disk",
          fmt::format("{:.1f} GB are free in {}", gigabytes(bytes), directory.string()),
          enough ? "" : "a checkpoint of gpt2-124m takes 1.5 GB: free some, or set directory"};
}

// MPI's processes on one machine, and NCCL's, exchange through it.
Finding shared_memory() {
  const int64_t bytes = free_bytes("/dev/shm");
  const bool enough = bytes > int64_t{256} << 20;
  return {enough ? State::ok : State::missing, "shared memory",
          bytes < 0 ? "there is no /dev/shm"
                    : fmt::format("{:.2f} GB are free in /dev/shm", gigabytes(bytes)),
          enough ? "" : "in a container, start it with --shm-size 1g or --ipc host"};
}

std::string limit_of(int resource) {
  struct rlimit limit {};
  getrlimit(static_cast<__rlimit_resource>(resource), &limit);
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur);
}

Finding limits() {
  struct rlimit files {};
  getrlimit(RLIMIT_NOFILE, &files);
  const bool enough = files.rlim_cur >= 1024;
  return {enough ? State::ok : State::missing, "limits",
          fmt::format("{} open files, locked memory {}", limit_of(RLIMIT_NOFILE),
                      limit_of(RLIMIT_MEMLOCK)),
          enough ? "" : "ulimit -n 4096"};
}

Finding clock() {
  struct timex state {};
  const bool synchronised = adjtimex(&state) != TIME_ERROR;
  const std::time_t now = std::time(nullptr);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%F %T UTC", std::gmtime(&now));
  return {
      synchronised ? State::ok : State::absent, "clock",
      fmt::format("{}{}", text.data(), synchronised ? "" : ", not synchronised"),
      synchronised ? "" : "with several machines, install chrony: times in logs will not agree"};
}

// What a command prints, and its exit status; a minute at most.
struct Outcome {
  int status = -1;
  std::string output;
};
Outcome outcome_of(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("timeout 60 " + command + " 2>&1 </dev/null").c_str(), "r");
  if (!pipe) return outcome;
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Finding mpi() {
  std::string mpirun;
  for (const std::string& word : mpirun_words()) mpirun += "'" + word + "' ";
  const Outcome version = outcome_of(mpirun + "--version");
  if (version.status != 0)
    return {State::absent, "MPI", "mpirun is not installed",
            "for runs of several ranks: apt install openmpi-bin"};
  if (geteuid() == 0) mpirun += "--allow-run-as-root ";
  const Outcome two = outcome_of(mpirun + "--oversubscribe -n 2 echo katman");
  if (two.status == 0 && two.output == "katman\nkatman\n")
    return {State::ok, "MPI", first_line(version.output) + "; two ranks start", ""};
  return {State::missing, "MPI",
          fmt::format("{}; two ranks do not start: {}", first_line(version.output),
                      first_line(two.output)),
          "run: mpirun -n 2 hostname"};
}

Finding products() { return {State::ok, "matrix products", make_backend("cpu")->name(), ""}; }

}  // namespace

const char* name_of(Finding::State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::absent:
      return "none";
    case State::missing:
      return "MISSING";
  }
  return "?";
}

std::vector<Finding> examine(const fs::path& directory) {
  std::vector<Finding> found = {cores(), products(),      memory(), disk(directory),
                                mpi(),   shared_memory(), limits(), clock()};
  for (Finding& finding : examine_gpus()) found.push_back(std::move(finding));
  return found;
}

}  // namespace katman
