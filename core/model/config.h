// The shape of a model of the GPT family (Radford et al., 2018, 2019; Brown et al., 2020; Touvron
// et al., 2023) and what follows from it by arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/params.h"

namespace katman {

enum class NormKind { layer, rms };
// Of a norm: before the sublayer that it belongs to, with one more at the end (GPT-2), or behind
// the addition, where the residual stream itself passes through it (GPT-1).
enum class NormPlace { before, after };
enum class Activation { gelu, swiglu };
enum class Positions { learned, rotary };

// Rotary positions (Su et al., 2021): pair c of a head turns by position * theta^(-2c / head_dim).
// With a factor, turns longer than original / low positions are slowed down by it, those shorter
// than original / high are left alone, and between them it goes over smoothly (Llama 3.1).
struct Rotary {
  float theta = 10000;
  float factor = 1, low = 1, high = 4;
  int64_t original = 8192;

  std::vector<float> frequencies(int64_t head_dim) const;  // [head_dim / 2], radians per position
  bool operator==(const Rotary&) const = default;
};

// GPT-2 is the default reading of every field.
struct GptConfig {
  int64_t layers = 12, hidden = 768, heads = 12;
  int64_t sequence = 1024;     // positions
  int64_t vocabulary = 50257;  // tokens that exist
  int64_t feed_forward = 0;    // 0: 4 * hidden; SwiGLU: two thirds of it, for as many weights
  bool tied_embedding = true;  // logits = h · token embedding^T
  float dropout =
      0;  // after the embedding, on attention probabilities and on both residual branches
  float norm_epsilon = 1e-5f;

  int64_t kv_groups = 0;  // heads of keys and values, each for heads / groups queries; 0: heads
  NormKind norm = NormKind::layer;
  NormPlace norm_place = NormPlace::before;
  Activation activation = Activation::gelu;
  Positions positions = Positions::learned;
  Rotary rotary = {};
  bool biases = true;  // of matrix products; those of layer norms are always there
  int64_t window = 0;  // > 0: banded layers see the last `window` positions, their own included
  int64_t window_every = 2;          // every so many layers, the last one of them is banded
  bool scaled_init = true;           // see residual_init()
  float position_deviation = 0.01f;  // of learned positions, at the start

  int64_t ff() const;
  int64_t head_dim() const { return hidden / heads; }
  int64_t groups() const { return kv_groups ? kv_groups : heads; }
  int64_t queries_per_group() const { return heads / groups(); }
  int64_t qkv_rows() const { return (heads + 2 * groups()) * head_dim(); }
  // Columns of SwiGLU's gate that lie together, followed by as many of the other half: tensor ranks
  // cut between such pairs, so that a rank's rows of the matrix are one box.
  int64_t gate_block() const;
  // Rows of the first matrix of the feed-forward half.
  int64_t up_rows() const { return (activation == Activation::swiglu ? 2 : 1) * ff(); }
  // 0: the layer sees all positions.
  int64_t window_of(int64_t layer) const;

  // Every matrix, and the two that write to the residual stream in each layer: with scaled_init
  // their deviation is divided by the root of how many there are (Radford et al., 2019, section
  // 2.3).
  Init weight_init() const { return {Init::Kind::normal, 0.02f}; }
  Init residual_init() const;

  // Parameters as published: without padding, tied weights once.
  int64_t parameters() const;
  // Model FLOPs of one token, forward and backward: 6 per weight of a matrix product (the logits
  // included, positions and embedding look-up not) + 12 * hidden * keys in every layer, where a
  // query sees sequence / 2 keys on average, or as many as the band leaves; recomputation not
  // counted (Chowdhery et al., 2022, appendix B, halved for the mask).
  double flops_per_token() const;
  // Throws UsageError naming the field that cannot be, and the nearest value that can. pp: stages.
  void check(int tp = 1, int pp = 1) const;

  bool operator==(const GptConfig&) const = default;
};

// Which part of the model a stage holds: layers [first, last), with the embedding or the head.
struct StageRange {
  int64_t first_layer = 0, last_layer = 0;
  bool embedding = true, head = true;
  bool operator==(const StageRange&) const = default;
};

// The model as `stages` ranges, so that the slowest stage is as fast as it can be: layers cost
// their FLOPs, the head costs its logits, the embedding's look-up nothing. Where that leaves a
// choice, later stages get more layers: the first holds the embedding and, under 1F1B, the most
// live activations.
std::vector<StageRange> split_layers(const GptConfig& config, int stages);

// What is computed again in the backward pass instead of remembered.
enum class Recompute { none, selective, full };

}  // namespace katman
