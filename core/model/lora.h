// Low-rank adaptation (Hu et al., 2021): a frozen matrix W [out, in] computes as W + (alpha / rank)
// B A with A [rank, in] and B [out, rank], which alone are trained. B begins as zero, so that the
// model begins as it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace katman {

struct Lora {
  int64_t rank = 0;  // 0: no adapters
  float alpha = 0;
  std::vector<std::string> on;  // last parts of the names of matrices: qkv, proj, up, down

  float scale() const { return alpha / static_cast<float>(rank); }
  // Whether the matrix of linear `name` ("h.3.attn.qkv") has an adapter.
  bool adapts(const std::string& name) const;
};

// Whether a parameter is part of an adapter: NAME.lora_a or NAME.lora_b.
bool is_adapter(const std::string& parameter);

}  // namespace katman
