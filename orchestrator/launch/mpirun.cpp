#include "orchestrator/launch/mpirun.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace katman {
namespace fs = std::filesystem;
namespace {

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path ? path : "");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (fs::exists(fs::path(directory) / program)) return true;
  return false;
}

// With one rank dead the others cannot save: to wait for them, which Open MPI does for two seconds,
// would only hold up the next start.
std::vector<std::string> with_a_quick_end(std::vector<std::string> words) {
  words.insert(words.end(), {"--mca", "odls_base_sigkill_timeout", "0"});
  return words;
}

}  // namespace

std::vector<std::string> mpirun_words() {
  const fs::path bundle = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  const fs::path mpi = bundle / "mpi", bundled = mpi / "bin/mpirun";
  if (!fs::exists(bundled)) return with_a_quick_end({"mpirun"});
  std::vector<std::string> words = {"env", "OPAL_PREFIX=" + mpi.string(),
                                    "PMIX_MCA_pcompress_base_silence_warning=1"};
  // It would insist on a way to other machines, which one machine can do without.
  if (!on_path("ssh") && !on_path("srun")) words.emplace_back("OMPI_MCA_plm=isolated");
  words.push_back(bundled.string());
  return with_a_quick_end(std::move(words));
}

}  // namespace katman
