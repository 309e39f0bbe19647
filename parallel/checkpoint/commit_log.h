// The commit log of a run: the one place that says which checkpoints count, and the fence between
// one incarnation of a run and the next.
//
// Slots are files 00000001, 00000002, ... in checkpoints/log, each created exclusively and never
// changed. Who appends first reads every slot that he does not know yet; since only one process can
// create slot n, reading, deciding and appending are together one atomic step. An incarnation
// starts by appending Start with a generation above all others; whoever then finds a generation
// above his own cannot commit any more, however long he was asleep. No slot, no checkpoint: there
// is no file "latest" that could be old, torn, or rewritten by the wrong process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "parallel/checkpoint/files.h"
#include "proto/checkpoint.pb.h"

namespace katman {

class CommitLog {
 public:
  // checkpoints: the directory that holds log/ and the directories of the checkpoints.
  CommitLog(std::filesystem::path checkpoints, const Files& files);

  // Reads the slots that appeared since the last call.
  void refresh();
  // Whether one did: a look at one name, where refresh() lists the directory.
  bool has_more() const;

  // One line of the log that counts: a commit that no later one retired. Oldest first.
  struct Entry {
    int64_t step = 0;
    uint64_t generation = 0;
    std::string directory;
    uint64_t manifest_xxh3 = 0;
  };
  const std::vector<Entry>& live() const { return live_; }
  // Commits that a rollback went behind. They stay until the run has saved at their step again, and
  // can be rolled back to as well.
  const std::vector<Entry>& discarded() const { return discarded_; }
  // How often the run went back, and how often of that it was to leave samples out.
  int64_t rollbacks() const { return rollbacks_; }
  int64_t rollbacks_that_skip() const { return rollbacks_that_skip_; }
  // The newest time: to which step, 0 being the beginning, and why.
  uint64_t rolled_back_to() const { return rolled_back_to_; }
  std::string why_rolled_back() const { return why_rolled_back_; }
  // What the rollbacks so far leave out, in the order in which they were made.
  const std::vector<SkippedSamples>& skipped() const { return skipped_; }
  bool empty() const { return last_slot_ == 0; }
  bool has_started(uint64_t generation) const;
  uint64_t newest_generation() const { return newest_generation_; }

  // Starts a generation above every one in the log and above `at_least`. Returns it.
  uint64_t start(uint64_t at_least);
  // Makes the checkpoint in `directory` count and those in `retired` not count. Throws Fenced when
  // a generation above `generation` has started.
  void commit(uint64_t generation, const Entry& entry, const std::vector<std::string>& retired);
  // Makes the commit in `directory` the newest that counts (empty: none counts, and the run begins
  // anew), leaves `skipped` out from then on, and ends all commits of `generation` and before.
  // Throws Fenced when a generation above has started, Error when there is no such commit.
  void roll_back(uint64_t generation, const std::string& directory, const std::string& why,
                 const std::vector<SkippedSamples>& skipped);
  // Throws Fenced when a generation above this one has started, as far as the slots say that have
  // been read.
  void require_newest(uint64_t generation) const;

 private:
  std::filesystem::path slot_path(int64_t slot) const;
  void apply(const LogRecord& record);
  void apply(const LogRecord::Rollback& rollback);
  bool append(LogRecord record);  // into the next slot; false when another process was first

  std::filesystem::path directory_;
  const Files& files_;
  int64_t last_slot_ = 0;
  uint64_t newest_generation_ = 0;
  uint64_t ended_generation_ = 0;  // by a rollback, and all before it
  bool damaged_ = false;  // a slot since my start could not be read: it may have been a Start
  std::vector<uint64_t> generations_;  // that started
  std::vector<Entry> live_, discarded_;
  int64_t rollbacks_ = 0, rollbacks_that_skip_ = 0;
  uint64_t rolled_back_to_ = 0;
  std::string why_rolled_back_;
  std::vector<SkippedSamples> skipped_;
};

}  // namespace katman
