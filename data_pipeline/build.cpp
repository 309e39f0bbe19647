#include "data_pipeline/build.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <mutex>

#include "core/error.h"
#include "core/log.h"
#include "core/random.h"
#include "data_pipeline/build/in_order.h"
#include "data_pipeline/build/ingest.h"
#include "data_pipeline/build/split.h"
#include "data_pipeline/build/workplace.h"
#include "data_pipeline/tokenize/train.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr const char* tokenizer_file = "tokenizer.json";
// Beyond this many distinct pieces a thread's counts are poured into the sum.
constexpr uint64_t pieces_per_thread = 1 << 17;

// Tools that are expensive to make and belong to one thread at a time.
template <class T>
class Pool {
 public:
  explicit Pool(std::function<T()> make) : make_(std::move(make)) {}

  std::unique_ptr<T> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<T>(make_());
    auto tool = std::move(free_.back());
    free_.pop_back();
    return tool;
  }
  void give(std::unique_ptr<T> tool) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(tool));
  }
  std::vector<std::unique_ptr<T>>& all() { return free_; }  // once nobody uses one

 private:
  std::function<T()> make_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

// Runs `work` over all frames of pass 1 in parallel, and what it returns in the order of the input.
void for_each_frame(const Ingested& from, int threads, const Progress& progress,
                    const std::function<Commit(const StoredFrame&)>& work) {
  FrameScan scan(from);
  bool opened = false;
  run_in_order(threads, [&]() -> Lane {
    if (std::exchange(opened, true)) return {};
    return [&]() -> Work {
      check_stop(progress);
      auto frame = std::make_shared<StoredFrame>();
      if (!scan.next(*frame)) return {};
      return [&work, frame] { return work(*frame); };
    };
  });
}

Tokenizer learn_tokenizer(const Ingested& from, const BuildOptions& options, Progress& progress) {
  const uint64_t text = from.survivors.text_bytes;
  const uint64_t sample = sample_threshold(text, options.learn_from_bytes);
  progress.begin("counting pieces", text);
  const Pattern pattern = options.pattern.value_or(Pattern::gpt2);
  Pool<PieceCounter> counters([&] { return PieceCounter(pattern); });
  PieceCounter sum(pattern);
  std::mutex sum_mutex;
  for_each_frame(from, options.threads, progress, [&](const StoredFrame& frame) -> Commit {
    auto counter = counters.take();
    for_each_survivor(from, frame, [&](const Survivor& document) {
      progress.position += document.text.size();
      if (mix64(document.hash.low) > sample) return;
      counter->add(document.text);
      progress.bytes += document.text.size();
      progress.documents += 1;
    });
    if (counter->distinct() > pieces_per_thread) {
      const std::lock_guard lock(sum_mutex);
      sum.merge(std::move(*counter));
      *counter = PieceCounter(pattern);
    }
    counters.give(std::move(counter));
    return [] {};
  });
  for (auto& counter : counters.all()) sum.merge(std::move(*counter));
  progress.begin("learning the vocabulary", 0);
  return train_bpe(sum, {.vocabulary = options.vocabulary});
}

// One frame's documents as ids, waiting for their turn.
struct Encoded {
  struct Document {
    Split split;
    uint64_t end;  // in ids
    uint64_t text_bytes;
    std::string source;
  };
  std::vector<uint32_t> ids;
  std::vector<Document> documents;
};

void encode(const Ingested& from, const BuildOptions& options, const Tokenizer& tokenizer,
            CorpusWriter& writer, Progress& progress) {
  const uint32_t end_of_document = tokenizer.end_of_document();
  Pool<Encoder> encoders([&] { return Encoder(tokenizer); });
  progress.begin("encoding", from.survivors.text_bytes);
  for_each_frame(from, options.threads, progress, [&](const StoredFrame& frame) -> Commit {
    auto encoder = encoders.take();
    auto encoded = std::make_shared<Encoded>();
    for_each_survivor(from, frame, [&](const Survivor& document) {
      const auto& [source, text, hash] = document;
      encoder->encode(text, encoded->ids);
      encoded->ids.push_back(end_of_document);
      encoded->documents.push_back(
          {from.split(hash, text.size()), encoded->ids.size(), text.size(), std::string(source)});
      progress.position += text.size();
      progress.bytes += text.size();
      progress.documents += 1;
    });
    encoders.give(std::move(encoder));
    return [&writer, encoded] {
      uint64_t begin = 0;
      for (const auto& [split, end, text_bytes, source] : encoded->documents) {
        writer.add(split, std::span(encoded->ids).subspan(begin, end - begin), text_bytes, source);
        begin = end;
      }
    };
  });
}

// Vocabularies in .tiktoken files are without special tokens, and documents need one between them.
Tokenizer with_end_of_document(const Tokenizer& tokenizer) {
  TokenizerParts parts = tokenizer.parts();
  if (!parts.specials.empty()) {
    tokenizer.end_of_document();  // throws if none of them is one
    return tokenizer;
  }
  parts.specials.push_back({"<|endoftext|>", tokenizer.vocabulary()});
  spdlog::info("the tokenizer has no special tokens: <|endoftext|>, which ends a document, is {}",
               tokenizer.vocabulary());
  return Tokenizer(std::move(parts));
}

// Names and sizes, in order: enough to see that a corpus was made from other files.
std::string hash_of_sources(const std::vector<InputFile>& files) {
  std::string list;
  for (const auto& [path, name] : files)
    list += fmt::format("{}\t{}\n", fs::path(path).filename().string(), fs::file_size(path));
  const Hash128 hash = hash128(list);
  return hex(hash.high) + hex(hash.low);
}

// What became of them, for a sentence: "3 as empty_file, 50 as repeated_lines".
std::string fates(const Ledger& ledger) {
  std::vector<std::string> parts;
  for (const auto* counts : {&ledger.skipped, &ledger.dropped})
    for (const auto& [reason, count] : *counts)
      parts.push_back(fmt::format("{} as {}", count, reason));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void require_documents(const Ingested& ingested) {
  const Ledger& ledger = ingested.ledger;
  const auto& issues = ledger.issues;
  require(ingested.survivors.documents > 0,
          "no document was kept of {} records in {} files ({} dropped{}); nothing was written",
          ledger.records, ledger.files, fates(ledger),
          issues.empty() ? "" : "; first of them: " + issues.front().what);
}

}  // namespace

BuildResult build_corpus(const BuildOptions& options, Progress& progress) {
  const auto files = list_inputs(options.inputs);
  std::optional<Tokenizer> tokenizer;  // given: wrong ones are found before the long work
  if (!options.tokenizer.empty())
    tokenizer = with_end_of_document(Tokenizer::load(options.tokenizer, options.pattern));
  Workplace place(options.out, options.force);
  Ingested ingested = ingest(options, files, place.scratch(), progress);
  require_documents(ingested);
  if (!tokenizer) tokenizer = learn_tokenizer(ingested, options, progress);
  tokenizer->save((fs::path(place.result()) / tokenizer_file).string());

  Manifest manifest;
  manifest.tokenizer_file = tokenizer_file;
  manifest.tokenizer_fingerprint = tokenizer->fingerprint();
  manifest.vocabulary = tokenizer->vocabulary();
  manifest.end_of_document = tokenizer->end_of_document();
  manifest.sources = hash_of_sources(files);
  CorpusWriter writer(place.result(), manifest, options.shards);
  encode(ingested, options, *tokenizer, writer, progress);

  BuildResult result{std::move(ingested.ledger), writer.finish()};
  for (const Split split : all_splits) result.ledger.kept += result.manifest.split(split).documents;
  result.ledger.check();
  write_file((fs::path(place.result()) / report_file).string(),
             report_json(result.ledger, result.manifest));
  check_stop(progress);
  place.publish(to_json(result.manifest));
  return result;
}

Ledger train_tokenizer(const BuildOptions& options, Progress& progress) {
  require_usage(options.force || !fs::exists(options.out),
                "{} exists already: give another --out, or --force to replace it", options.out);
  const auto files = list_inputs(options.inputs);
  const Workplace place(options.out + ".building", false);
  Ingested ingested = ingest(options, files, place.scratch(), progress);
  require_documents(ingested);
  learn_tokenizer(ingested, options, progress).save(options.out);
  ingested.ledger.kept = ingested.survivors.documents - ingested.survivors.duplicates;
  ingested.ledger.check();
  return std::move(ingested.ledger);
}

}  // namespace katman
