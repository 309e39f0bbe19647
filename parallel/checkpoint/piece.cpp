#include "parallel/checkpoint/piece.h"

namespace katman {

const char* name_of(Piece::What what) {
  switch (what) {
    case Piece::What::master:
      return "master";
    case Piece::What::m:
      return "m";
    case Piece::What::v:
      return "v";
  }
  return "?";
}

}  // namespace katman
