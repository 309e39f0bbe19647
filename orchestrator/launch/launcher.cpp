#include "orchestrator/launch/launcher.h"

#include <fmt/format.h>

namespace katman {

std::filesystem::path Job::stem() const {
  return std::filesystem::path(spec.directory()) / "logs" /
         fmt::format("generation-{:05}", generation);
}

int Job::ranks() const {
  return static_cast<int>(spec.mesh().tp() * spec.mesh().dp() * spec.mesh().pp());
}

}  // namespace katman
