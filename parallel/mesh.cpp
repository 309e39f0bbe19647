#include "parallel/mesh.h"

#include <fmt/format.h>

namespace katman {

std::string to_string(const Mesh& mesh) {
  return fmt::format("tp={} dp={} pp={}", mesh.tp, mesh.dp, mesh.pp);
}

}  // namespace katman
