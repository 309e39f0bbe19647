#include "orchestrator/launch/mpirun.h"

#include <filesystem>

namespace katman {

std::vector<std::string> mpirun_words() {
  namespace fs = std::filesystem;
  const fs::path bundle = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  const fs::path bundled = bundle / "mpi/bin/mpirun";
  if (!fs::exists(bundled)) return {"mpirun"};
  return {"env", "OPAL_PREFIX=" + (bundle / "mpi").string(), bundled.string()};
}

}  // namespace katman
