// A new run that begins where a checkpoint of another stands.
#pragma once

#include <cstdint>
#include <filesystem>

namespace katman {

// Makes `to` (a run's directory that does not exist yet) begin with the checkpoint that `from` has
// of `step`: its files are linked, not copied, so that it costs nothing and stays when the other
// run deletes its own. Throws UsageError when there is no such checkpoint or `to` exists.
void begin_from_checkpoint(const std::filesystem::path& from, int64_t step,
                           const std::filesystem::path& to);

}  // namespace katman
