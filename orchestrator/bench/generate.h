// How fast a model writes, beside what its weights alone would take to be read once per token.
#pragma once

#include <cstdint>
#include <string>

namespace katman {

struct GenerateBench {
  std::string preset = "gpt2-124m";
  int64_t batch = 1;     // texts at a time
  int64_t prompt = 64;   // tokens of each
  int64_t tokens = 128;  // timed, after the prompt and a few to warm up
  std::string device = "cpu", precision = "bf16";
  int threads = 0;  // 0: all cores
};

struct GenerateFigures {
  std::string device;
  double tokens_per_s = 0;     // of all texts together, from the median step
  double median_s = 0;         // of one step: one token for every text
  int64_t weight_bytes = 0;    // that a step has to read: every matrix and vector once
  double bandwidth = 0;        // bytes/s that the same threads read from memory in the same run
  double bandwidth_share = 0;  // weight_bytes / median_s / bandwidth
  double prompt_tokens_per_s = 0;
};

// A model with random weights; tokens are drawn as katman generate draws them.
GenerateFigures run_generate_bench(const GenerateBench& bench);

}  // namespace katman
