// How fast the matrix products of a GPT are, beside a large square one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace katman {

struct GemmBench {
  std::string preset = "gpt2-124m";  // whose products
  int64_t rows = 4096;               // tokens of a micro-batch
  std::string device = "auto", precision = "bf16";
  int threads = 0;           // 0: all cores
  double seconds = 0.5;      // to spend on each product
  int64_t peak_size = 4096;  // of the square one
};

// One product as training calls it: with its transposes, its epilogue and its types.
struct GemmFigures {
  std::string name;  // "mlp.up forward"
  int64_t m = 0, n = 0, k = 0;
  double best_s = 0, flops = 0;  // per second
  double apart_s = 0;            // where it takes the bias's gradient along: as two operations
  double share = 0;              // of the square product's
};

struct GemmReport {
  std::string device;
  int64_t peak_size = 0;     // of the square product below
  double peak_flops = 0;     // what it reaches in the same run
  double nominal_flops = 0;  // of the device's data sheet, where it is known
  std::vector<GemmFigures> products;
};

// Forward, input gradient and weight gradient of every linear layer, and the logits of one chunk.
GemmReport run_gemm_bench(const GemmBench& bench);

}  // namespace katman
