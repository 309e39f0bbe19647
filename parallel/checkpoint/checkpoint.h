// Checkpoints of a run: saved under one layout, loaded under any.
//
//   checkpoints/
//     log/00000001 ...            the commit log: what counts (commit_log.h)
//     step-00000100.g1/           one directory per save, named by step and generation
//       rank-00000.safetensors    the pieces that rank 0 owns, with a checksum per megabyte
//       tokenizer.json            so that the directory is a whole model by itself
//       manifest.textproto        names, shapes, boxes, files, the run; written last
//
// A save is whole when its manifest exists and valid when its log slot does. Every file is written
// under a temporary name, fsynced and renamed; every directory is fsynced; whatever instant a
// process or a machine dies at, the previous checkpoint stays as it was.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/comm.h"
#include "core/model/gpt.h"
#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/piece.h"
#include "parallel/mesh.h"
#include "proto/checkpoint.pb.h"
#include "proto/run.pb.h"

namespace katman {

// What a checkpoint says about itself besides its tensors.
struct CheckpointInfo {
  int64_t step = 0;               // optimizer steps done
  uint64_t samples_consumed = 0;  // the next step starts with this sample
  GptConfig model;
  RunSpec run;  // as it was resolved; empty for an imported model
  Mesh mesh;    // the layout it was saved under
  std::string tokenizer_fingerprint;
  std::map<std::string, int64_t> counters;  // what else a run counts: skipped steps, tokens
  std::vector<SkippedSamples> skipped;      // that the run leaves out
  // Filled in by the store.
  uint64_t generation = 0;
  bool weights_only = false;        // no moments: a load of m and v gives zeros
  std::string producer;             // "katman 0.1.0"
  std::filesystem::path directory;  // where it was read from
};

struct CheckpointOptions {
  int keep_last = 2;                     // at least 1
  int64_t keep_every = 0;                // steps divisible by it stay for good; 0: none
  std::filesystem::path tokenizer = {};  // copied into every checkpoint; empty: none
  std::chrono::seconds deadline{600};    // for all ranks' files of one save
  bool weights_only = false;             // masters without moments
  uint64_t generation = 0;               // at least this one; the log may have seen later ones
  std::function<void(const FileOp&)> on_file_operation = {};  // for tests: called before each
  std::function<int64_t()> free_bytes = {};                   // for tests: what is free on the disk
};

// The checkpoint in `directory` (with a manifest). Throws Error with what is wrong with it.
CheckpointInfo read_checkpoint_info(const std::filesystem::path& directory);

// Beside checkpoints/ of a run that trains adapters: the frozen weights, as a checkpoint of step 0.
inline constexpr char base_name[] = "base";

// Fills all the wanted pieces, owned or not, from the checkpoint in `directory`, whatever layout it
// was saved under. Adapters (LoRA) are added to the weights they belong to, unless they themselves
// are wanted. Reads only the blocks of each file that hold wanted elements, and checks the
// checksum of each.
void load_checkpoint(const std::filesystem::path& directory, std::span<const Piece> wanted,
                     Backend& backend);

// The same in the order of `wanted`, whose `data` is not looked at: `take` gets the values of each
// piece, in host memory that is valid until it returns.
using PieceTaker = std::function<void(const Piece&, const float* values)>;
void read_checkpoint(const std::filesystem::path& directory, std::span<const Piece> wanted,
                     const PieceTaker& take);

// Reads every byte. One sentence per defect; none: it is whole.
std::vector<std::string> verify_checkpoint(const std::filesystem::path& directory);

// What a person may point at (a checkpoint, a directory of checkpoints, a run's directory) as the
// directory of one checkpoint: the newest.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

// A newer incarnation of the run has started: this one must not write any more.
class Fenced : public Error {
 public:
  using Error::Error;
};

// Writes the checkpoints of one run. Constructing one starts a new generation of the run: from
// then on no older incarnation can commit, even one that was only asleep. Collective where said;
// every rank of the run has one, on a file system that all share.
class CheckpointStore {
 public:
  // Collective. `directory` is made when it does not exist.
  // backend: where the pieces lie. It and `world` outlive the store.
  CheckpointStore(std::filesystem::path directory, CheckpointOptions options, Backend& backend,
                  Comm& world);
  ~CheckpointStore();  // waits for a save under way

  // The newest committed checkpoint whose manifest is whole, or nothing. Damaged ones are named in
  // the log and skipped. Not collective.
  std::optional<CheckpointInfo> latest() const;
  // Collective. Fills all pieces from the newest checkpoint that every rank can load, passing over
  // damaged ones; nothing when there is none at all. Throws when there are some and all are
  // damaged.
  std::optional<CheckpointInfo> resume(std::span<const Piece> wanted);

  // Collective, after finish(). The run shall go on from its newest checkpoint of at most `step`
  // (from the beginning when there is none), leaving `skipped` out. This generation ends: it cannot
  // commit any more, and the next one's resume() finds that checkpoint. Returns its step.
  int64_t roll_back(int64_t step, const std::string& why,
                    const std::vector<SkippedSamples>& skipped);
  // Collective. How often this run was rolled back to leave samples out, and which those are.
  int64_t rollbacks_that_skip() const;
  std::vector<SkippedSamples> skipped() const;

  // Collective. Takes the memory that a save needs, in the background: the first save need not
  // wait for the machine to find it.
  void prepare(std::span<const Piece> pieces);

  // Collective. Copies the pieces that are owned and writes them in the background; first
  // finish()es the save before. A save that fails says so in the log; the checkpoints that exist
  // stay as they are.
  void save(const CheckpointInfo& info, std::span<const Piece> pieces);
  // Collective. Waits for the save under way. True, on every rank, when the last save was committed
  // (or there was none). Throws Fenced when a newer generation has started.
  bool finish();
  // On rank 0: why the newest save came to nothing; empty when it was committed. Not collective,
  // and known as soon as it has failed.
  std::string problem() const;

  uint64_t generation() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace katman
