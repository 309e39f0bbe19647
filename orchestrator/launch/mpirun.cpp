#include "orchestrator/launch/mpirun.h"

#include <cstdlib>
#include <filesystem>

namespace katman {

std::vector<std::string> mpirun_words() {
  const auto home = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const auto bundled = home / "mpi/bin/mpirun";
  if (!std::filesystem::exists(bundled)) return {"mpirun"};
  std::string libraries = "LD_LIBRARY_PATH=" + (home / "lib").string();
  if (const char* others = std::getenv("LD_LIBRARY_PATH")) libraries += std::string(":") + others;
  return {"env", "OPAL_PREFIX=" + (home / "mpi").string(), libraries, bundled.string()};
}

}  // namespace katman
