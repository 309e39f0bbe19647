#include "orchestrator/bench/tokenize.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>

#include "core/error.h"
#include "core/random.h"
#include "data_pipeline/tokenize/train.h"

namespace katman {
namespace {

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(const std::function<void()>& work) {
  const double start = cpu_seconds();
  work();
  return std::max(cpu_seconds() - start, 1e-9);
}

// The fastest of as many passes as fit in `budget` seconds.
double fastest(double budget, const std::function<void()>& pass) {
  double best = INFINITY;
  for (double spent = 0; best == INFINITY || spent < budget;) {
    const double taken = seconds_of(pass);
    spent += taken;
    best = std::min(best, taken);
  }
  return best;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  require(in.is_open() && !std::filesystem::is_directory(path),
          "cannot read {} to measure with it: is there such a file?", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A rank with probability proportional to 1 / (rank + 2.7), Mandelbrot's form of Zipf's law, by
// inverting its integral.
uint64_t zipf_rank(double uniform, double ranks) {
  return static_cast<uint64_t>(2.7 * (std::pow((ranks + 2.7) / 2.7, uniform) - 1));
}

std::string word_of(uint64_t rank, Key key) {
  static constexpr std::string_view onsets[] = {"b",  "c", "d", "f", "g", "h",  "l",
                                                "m",  "n", "p", "r", "s", "st", "th",
                                                "sh", "t", "v", "w", "",  "ch"};
  static constexpr std::string_view rimes[] = {"a",  "e",   "i",  "o",  "u",   "an", "er", "in",
                                               "on", "ing", "at", "es", "ion", "ed", "al", "y"};
  std::string word;
  const auto syllables =
      1 + static_cast<uint64_t>(std::log2(static_cast<double>(rank) / 20 + 1) / 3);
  for (uint64_t i = 0; i < syllables; ++i) {
    const uint64_t bits = random_bits(key.at(rank), i);
    word += onsets[bits % std::size(onsets)];
    word += rimes[(bits >> 32) % std::size(rimes)];
  }
  return word;
}

}  // namespace

std::string made_up_text(uint64_t bytes, uint64_t seed) {
  const Key lexicon = Key(seed).at("lexicon"), order = Key(seed).at("order");
  std::string text;
  text.reserve(bytes + 64);
  for (uint64_t n = 0; text.size() < bytes; ++n) {
    const uint64_t bits = random_bits(order, n);
    const double uniform = static_cast<double>(bits >> 11) * 0x1p-53;
    const double distinct = 10 * std::pow(static_cast<double>(n) + 100, 0.6);
    const uint64_t kind = mix64(bits) % 100;
    if (kind < 2) text += fmt::format(" {}", 1 + mix64(bits) / 100 % 2999);
    text += ' ';
    text += word_of(zipf_rank(uniform, distinct), lexicon);
    if (kind >= 90) text += kind < 95 ? "," : kind < 98 ? "." : kind < 99 ? "'s" : ".\n";
  }
  text.resize(bytes);
  return text;
}

TokenizeFigures run_tokenize_bench(const TokenizeBench& bench) {
  require_usage(bench.seconds > 0, "--seconds is {}; it has to be above 0", bench.seconds);
  TokenizeFigures figures;
  std::vector<std::string> texts;
  for (const std::string& file : bench.files) texts.push_back(read_text(file));
  if (texts.empty()) texts.push_back(made_up_text(16 << 20, 1));
  figures.text = bench.files.empty() ? "made-up text" : fmt::format("{} files", texts.size());
  for (const std::string& text : texts) figures.bytes += text.size();
  require_usage(figures.bytes > 0, "there is no text in the files to measure with");
  const auto rate = [&](double seconds) {
    return static_cast<double>(figures.bytes) / seconds / 1e6;
  };

  PieceCounter counter;
  figures.count_mb_per_s = rate(seconds_of([&] {
    for (const std::string& text : texts) counter.add(text);
  }));
  std::optional<Tokenizer> tokenizer;
  figures.learn_s =
      seconds_of([&] { tokenizer = train_bpe(counter, {.vocabulary = bench.vocabulary}); });
  figures.tokenizer = "learned from the text";
  if (!bench.tokenizer.empty()) {
    tokenizer = Tokenizer::load(bench.tokenizer);
    figures.tokenizer = bench.tokenizer;
  }
  figures.vocabulary = tokenizer->vocabulary();

  Encoder encoder(*tokenizer);
  std::vector<uint32_t> ids;
  const auto encode = [&] {
    ids.clear();
    for (const std::string& text : texts) encoder.encode(text, ids);
  };
  figures.first_mb_per_s = rate(seconds_of(encode));
  const double encode_s = fastest(bench.seconds, encode);
  figures.tokens = ids.size();
  figures.bytes_per_token = static_cast<double>(figures.bytes) / static_cast<double>(ids.size());
  figures.encode_mb_per_s = rate(encode_s);
  figures.encode_tokens_per_s = static_cast<double>(ids.size()) / encode_s;
  std::string decoded;
  figures.decode_mb_per_s = rate(fastest(bench.seconds, [&] { decoded = tokenizer->decode(ids); }));
  require(decoded.size() == figures.bytes, "decoding gave {} bytes for {}", decoded.size(),
          figures.bytes);
  return figures;
}

}  // namespace katman
