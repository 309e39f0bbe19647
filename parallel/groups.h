// The groups a rank belongs to: one per axis of the mesh.
#pragma once

#include <memory>

#include "core/comm.h"
#include "parallel/mesh.h"

namespace katman {

// A rank's place in the mesh and its communicator along each axis. A group of one is a group:
// nothing that uses these asks for their size first.
struct Groups {
  // Splits `world`, whose size must be mesh.size(). Collective.
  Groups(const Mesh& mesh, Comm& world);
  // Without its groups, which whoever calls this puts in place.
  Groups(const Mesh& mesh, Place place) : mesh(mesh), place(place) {}

  Mesh mesh;
  Place place;
  std::unique_ptr<Comm> tp, dp, pp;
  // The first and the last stage of my (tp, dp): they share a tied embedding. Alone on stages in
  // between.
  std::unique_ptr<Comm> embedding;
};

}  // namespace katman
