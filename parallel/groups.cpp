#include "parallel/groups.h"

#include <fmt/format.h>

namespace katman {
namespace {

std::unique_ptr<Comm> along(Comm& world, const char* axis, Place fixed, int index,
                            const Mesh& mesh) {
  return world.split(mesh.rank(fixed), index, fmt::format("{} of rank {}", axis, world.rank()));
}

// The color of my embedding group: its first stage, or myself between the ends.
Place embedding_home(Place at, const Mesh& mesh) {
  const bool end = at.pp == 0 || at.pp == mesh.pp - 1;
  return {at.tp, at.dp, end ? 0 : at.pp};
}

}  // namespace

Groups::Groups(const Mesh& mesh, Comm& world) : mesh(mesh), place(mesh.place(world.rank())) {
  require_usage(world.size() == mesh.size(), "the mesh {} is for {} ranks, and {} were started",
                to_string(mesh), mesh.size(), world.size());
  tp = along(world, "tp", {0, place.dp, place.pp}, place.tp, mesh);
  dp = along(world, "dp", {place.tp, 0, place.pp}, place.dp, mesh);
  pp = along(world, "pp", {place.tp, place.dp, 0}, place.pp, mesh);
  embedding = along(world, "embedding", embedding_home(place, mesh), place.pp, mesh);
}

}  // namespace katman
