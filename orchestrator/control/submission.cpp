#include "orchestrator/control/submission.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/run_data.h"
#include "parallel/pipeline/schedule.h"

namespace katman {

constexpr size_t longest_run_file = 64 << 10;

RunSpec parse_submission(const SubmitRequest& request, const std::filesystem::path& data) {
  require_usage(request.run_file().size() <= longest_run_file,
                "the run file has {} bytes; {} are allowed", request.run_file().size(),
                longest_run_file);
  RunSpec spec = parse_run_spec(request.run_file(), "the run file");
  require_usage(!spec.name().empty(), "the run file does not name the run: set name");
  require_usage(spec.directory().empty(),
                "leave directory out of the run file: the orchestrator gives every run its own");
  require_usage(!spec.mesh().schedule().starts_with("file:"),
                "mesh.schedule is '{}': a submitted run cannot name files of this machine but its "
                "corpus; use {}",
                spec.mesh().schedule(), fmt::join(schedule_kinds, ", "));
  complete(spec, "");
  spec.set_directory((data / "runs" / spec.name()).string());
  train_config(spec, *open_run_data(spec)).check();  // the data is there, and fits
  return spec;
}

}  // namespace katman
