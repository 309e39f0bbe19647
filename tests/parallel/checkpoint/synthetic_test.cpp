#include "tests/parallel/checkpoint/synthetic.h"

#include <gtest/gtest.h>

#include "core/random.h"

namespace katman::testing {
namespace {

struct SyntheticTensor {
  const char* name;
  std::vector<int64_t> shape;
  int axis;  // that tensor ranks cut; -1: every one holds it whole
};

// Odd extents, one tensor in three dimensions.
std::vector<SyntheticTensor> synthetic_tensors(int64_t rows) {
  return {{"wte.weight", {rows, 300}, 0},  {"h.0.attn.weight", {12, 7}, 0},
          {"h.0.proj.weight", {5, 16}, 1}, {"h.0.bias", {13}, -1},
          {"h.1.cube", {3, 4, 5}, 1},      {"ln_f.weight", {1}, -1}};
}

// Part `index` of `parts` of an extent, as even as it goes.
Box share_of(const Box& whole, int axis, int index, int parts) {
  if (axis < 0) return whole;
  Box box = whole;
  const auto a = static_cast<size_t>(axis);
  box.begin[a] = whole.extent[a] * index / parts;
  box.extent[a] = whole.extent[a] * (index + 1) / parts - box.begin[a];
  return box;
}

}  // namespace

float synthetic_value(const std::string& name, Piece::What what, int64_t index, int64_t step) {
  const Key key = Key(static_cast<uint64_t>(step)).at(name).at(static_cast<uint64_t>(what));
  return random_uniform(key, static_cast<uint64_t>(index));
}

SyntheticState::SyntheticState(const Mesh& mesh, int rank, Backend& backend, int64_t rows)
    : backend_(backend) {
  const Place place = mesh.place(rank);
  const auto tensors = synthetic_tensors(rows);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SyntheticTensor& tensor = tensors[i];
    if (static_cast<int>(i) % mesh.pp != place.pp) continue;
    const Shape global{std::span<const int64_t>(tensor.shape)};
    const Box mine = share_of(Box::whole(global), tensor.axis, place.tp, mesh.tp);
    const int64_t begin = mine.elements() * place.dp / mesh.dp;
    const int64_t end = mine.elements() * (place.dp + 1) / mesh.dp;
    const bool owned = tensor.axis >= 0 || place.tp == 0;
    for (const auto what : {Piece::What::master, Piece::What::m, Piece::What::v})
      for (const Box& box : boxes_of_range(mine, begin, end))
        pieces.push_back(
            {what, tensor.name, global, box, backend.zeros({box.elements()}, DType::f32), owned});
  }
}

// use(value, name, what, row-major index in the whole tensor)
template <class Use>
void SyntheticState::for_each(const Use& use) const {
  for (const Piece& piece : pieces) {
    float* values = piece.data.data<float>();
    for (int64_t i = 0; i < piece.box.elements(); ++i) {
      int64_t rest = i, index = 0, stride = 1;
      for (int axis = piece.box.rank(); axis-- > 0;) {
        const auto a = static_cast<size_t>(axis);
        index += (piece.box.begin[a] + rest % piece.box.extent[a]) * stride;
        rest /= piece.box.extent[a];
        stride *= piece.global[axis];
      }
      use(values[i], piece, index);
    }
  }
}

void SyntheticState::fill(int64_t step) {
  for_each([&](float& value, const Piece& piece, int64_t index) {
    value = synthetic_value(piece.name, piece.what, index, step);
  });
}

void SyntheticState::clear() {
  for (const Piece& piece : pieces) backend_.fill_zero(piece.data);
}

int64_t SyntheticState::wrong(int64_t step) const {
  int64_t count = 0;
  for_each([&](float value, const Piece& piece, int64_t index) {
    count += value != synthetic_value(piece.name, piece.what, index, step);
  });
  return count;
}

CheckpointInfo synthetic_info(int64_t step, const Mesh& mesh) {
  CheckpointInfo info;
  info.step = step;
  info.samples_consumed = static_cast<uint64_t>(step) * 8;
  info.model = {.layers = 2, .hidden = 300, .heads = 4, .sequence = 32, .vocabulary = 1031};
  info.run.set_name("synthetic");
  info.mesh = mesh;
  info.counters = {{"skipped", 3}};
  return info;
}

// The other tests of this folder stand on this.
TEST(Synthetic, the_owned_pieces_of_all_ranks_are_every_element_once) {
  const auto backend = make_backend("reference");
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 3, 2}}) {
    int64_t owned = 0, all = 0;
    for (int rank = 0; rank < mesh.size(); ++rank)
      for (const Piece& piece : SyntheticState(mesh, rank, *backend).pieces)
        owned += piece.owned ? piece.box.elements() : 0;
    for (const SyntheticTensor& tensor : synthetic_tensors(1031))
      all += 3 * Shape{std::span<const int64_t>(tensor.shape)}.elements();
    EXPECT_EQ(owned, all);
  }
}

}  // namespace katman::testing
