// Our side of tokenizer_parity.py and of tests/bench/tokenize_vs_hf.py.
//
//   tokenizer_peer encode TOKENIZER [PATTERN]      texts on stdin, their ids on stdout
//   tokenizer_peer train PATTERN SIZE MIN OUT      texts on stdin, OUT is a tokenizer.json
//   tokenizer_peer save TOKENIZER [PATTERN] OUT    reads a tokenizer and writes it again
//   tokenizer_peer time TOKENIZER ROUNDS           texts on stdin, the CPU seconds of each round
//
// A text is a 32-bit size and its bytes; ids are a 32-bit count and 32-bit numbers.
#include <time.h>

#include <cstdio>
#include <iostream>

#include "core/error.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "data_pipeline/tokenize/train.h"

namespace katman {
namespace {

bool read_text(std::string& text) {
  uint32_t size;
  if (std::fread(&size, sizeof size, 1, stdin) != 1) return false;
  text.resize(size);
  require(std::fread(text.data(), 1, size, stdin) == size, "the input ends within a text");
  return true;
}

std::optional<Pattern> optional_pattern(const std::vector<std::string>& args, size_t at) {
  return args.size() > at ? std::optional(pattern_named(args[at])) : std::nullopt;
}

void encode(const Tokenizer& tokenizer) {
  Encoder encoder(tokenizer);
  std::vector<uint32_t> ids;
  for (std::string text; read_text(text);) {
    ids.assign(1, 0);
    encoder.encode(text, ids);
    ids[0] = static_cast<uint32_t>(ids.size() - 1);
    std::fwrite(ids.data(), sizeof ids[0], ids.size(), stdout);
  }
}

void train(Pattern pattern, uint32_t vocabulary, uint64_t min_frequency, const std::string& out) {
  PieceCounter counter(pattern);
  for (std::string text; read_text(text);) counter.add(text);
  train_bpe(counter, {vocabulary, min_frequency, {"<|endoftext|>"}}).save(out);
}

// Of this thread: what a core spends, whoever else wants it.
double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void time_rounds(const Tokenizer& tokenizer, int rounds) {
  std::vector<std::string> texts;
  for (std::string text; read_text(text);) texts.push_back(text);
  Encoder encoder(tokenizer);
  std::vector<uint32_t> ids;
  for (int round = 0; round < rounds; ++round) {
    const double start = cpu_seconds();
    ids.clear();
    for (const std::string& text : texts) encoder.encode(text, ids);
    fmt::print("{:.6f} {}\n", cpu_seconds() - start, ids.size());
  }
}

int run(const std::vector<std::string>& args) {
  const std::string verb = args.size() > 1 ? args[0] : "";
  if (verb == "encode") {
    encode(Tokenizer::load(args[1], optional_pattern(args, 2)));
  } else if (verb == "train" && args.size() == 5) {
    train(pattern_named(args[1]), static_cast<uint32_t>(std::stoul(args[2])), std::stoul(args[3]),
          args[4]);
  } else if (verb == "save" && args.size() >= 3) {
    const bool named = args.size() > 3;
    Tokenizer::load(args[1], named ? optional_pattern(args, 2) : std::nullopt).save(args.back());
  } else if (verb == "time" && args.size() == 3) {
    time_rounds(Tokenizer::load(args[1]), std::stoi(args[2]));
  } else {
    std::cerr << "see the head of tokenizer_peer.cpp\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace katman

int main(int argc, char** argv) {
  try {
    return katman::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
