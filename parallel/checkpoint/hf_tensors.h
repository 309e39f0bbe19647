// Which tensors a model is in the files of Hugging Face `transformers`, and where their rows are
// among ours.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/config.h"

namespace katman {

// The classes of `transformers` that our models are, bit for bit.
enum class HfFamily { gpt1, gpt2, llama };

// Throws UsageError that says what of the model none of them has.
HfFamily hf_family(const GptConfig& config);

// One of their tensors: an outputs x inputs matrix or a vector, whose output r is row our_row(r) of
// ours. Several of theirs may be one of ours: a Llama's q, k and v are our qkv, its gate and up
// projections our up.
struct HfTensor {
  enum class Rows { same, gpt_qkv, q, k, v, gate, up };

  std::string theirs, ours;
  Shape shape;  // ours, whole
  int64_t outputs = 0;
  Rows rows = Rows::same;
  bool transposed = false;  // theirs is [inputs, outputs]: GPT-1's and GPT-2's Conv1D

  int64_t inputs() const { return shape.rank() == 2 ? shape[1] : 1; }
  std::vector<int64_t> their_shape() const;
  int64_t our_row(const GptConfig& config, int64_t output) const;
};

// In the order of the model; tensors that are one of ours are neighbours.
std::vector<HfTensor> hf_tensors(const GptConfig& config);

}  // namespace katman
