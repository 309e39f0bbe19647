// What checkpoints are made of: the optimizer gives these, checkpoints keep them and give them
// back.
#pragma once

#include <string>

#include "core/box.h"
#include "core/tensor.h"

namespace katman {

// A box of one optimizer tensor that lies on this rank, contiguous.
struct Piece {
  enum class What { master, m, v } what = What::master;
  std::string name;    // of the parameter
  Shape global;        // of the parameter
  Box box;             // in the global tensor
  Tensor data;         // f32 [elements of the box], row-major; on the device: use Backend::download
  bool owned = false;  // true on exactly one rank of the world for each element: who saves it.
                       // Loading fills all.
};
const char* name_of(Piece::What what);  // "master", "m", "v"

}  // namespace katman
