#include "parallel/mesh.h"

#include <charconv>
#include <sstream>

#include "core/error.h"

namespace katman {

std::string to_string(const Mesh& mesh) {
  return fmt::format("tp={} dp={} pp={}", mesh.tp, mesh.dp, mesh.pp);
}

Mesh parse_mesh(const std::string& text) {
  Mesh mesh;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    int* axis = word.starts_with("tp=")   ? &mesh.tp
                : word.starts_with("dp=") ? &mesh.dp
                : word.starts_with("pp=") ? &mesh.pp
                                          : nullptr;
    const char* const end = word.data() + word.size();
    const bool read = axis && std::from_chars(word.data() + 3, end, *axis).ptr == end;
    require_usage(read && *axis >= 1 && *axis <= 65536,
                  "'{}' is no layout: write for example tp=2 dp=1 pp=4", text);
  }
  return mesh;
}

}  // namespace katman
