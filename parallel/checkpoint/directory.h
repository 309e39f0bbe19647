// Which directories of a run's checkpoints are what.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "parallel/checkpoint/commit_log.h"

namespace katman {

// "step-00000100.g2": no two generations ever write the same file.
std::string checkpoint_name(int64_t step, uint64_t generation);
// The commit that a directory of that form would be, without a checksum; nothing for other names.
std::optional<CommitLog::Entry> parse_checkpoint_name(const std::string& name);

// The newest first: what the log says counts. A log that has nothing to say (a person copied
// checkpoints without it) is no reason to lose them: then all that no logged generation made,
// latest step first.
std::vector<CommitLog::Entry> candidates(const std::filesystem::path& checkpoints,
                                         const CommitLog& log);

// Throws Error when what the entry names is not there, not whole or not what was committed.
void check_committed(const std::filesystem::path& checkpoints, const CommitLog::Entry& entry);

// The highest generation that any directory carries in its name, 0 for none.
uint64_t highest_generation(const std::filesystem::path& checkpoints);

// Removes what earlier generations retired or left unfinished; touches nothing else.
void sweep(const std::filesystem::path& checkpoints, const CommitLog& log, uint64_t generation,
           const Files& files);

}  // namespace katman
