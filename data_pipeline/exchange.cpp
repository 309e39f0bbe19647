#include "data_pipeline/exchange.h"

#include <filesystem>

#include "core/error.h"
#include "data_pipeline/build/split.h"
#include "data_pipeline/build/workplace.h"
#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/corpus/megatron.h"
#include "data_pipeline/corpus/writer.h"
#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr const char* tokenizer_file = "tokenizer.json";

void step(Progress& progress, uint64_t bytes) {
  require(!progress.stop, "interrupted");
  progress.position += 1;
  progress.documents += 1;
  progress.bytes += bytes;
}

// The text of a document, which decides where it goes.
struct Text {
  Hash128 hash;
  uint64_t bytes;
};

// The ids of a document of foreign files, with its end.
std::vector<uint32_t> ended(std::vector<uint32_t> ids, uint32_t end_of_document) {
  if (ids.empty() || ids.back() != end_of_document) ids.push_back(end_of_document);
  return ids;
}

std::vector<Text> read_texts(const MegatronReader& reader, const Tokenizer& tokenizer,
                             Progress& progress) {
  std::vector<Text> texts;  // [document]
  progress.begin("reading", reader.documents());
  for (uint64_t d = 0; d < reader.documents(); ++d) {
    auto ids = ended(reader.document(d, tokenizer.vocabulary()), tokenizer.end_of_document());
    ids.pop_back();
    const std::string text = tokenizer.decode(ids);
    texts.push_back({hash128(text), text.size()});
    step(progress, text.size());
  }
  return texts;
}

SplitRule choose_split(const std::vector<Text>& texts, double share) {
  uint64_t total = 0;
  for (const Text& text : texts) total += text.bytes;
  SplitChooser chooser(total, share);
  for (const Text& text : texts) chooser.add(text.hash, text.bytes);
  return chooser.choose();
}

Manifest empty_manifest(const Tokenizer& tokenizer) {
  Manifest manifest;
  manifest.tokenizer_file = tokenizer_file;
  manifest.tokenizer_fingerprint = tokenizer.fingerprint();
  manifest.vocabulary = tokenizer.vocabulary();
  manifest.end_of_document = tokenizer.end_of_document();
  return manifest;
}

}  // namespace

void export_megatron(const std::string& corpus_directory, const std::string& out,
                     Progress& progress) {
  const Corpus corpus = Corpus::open(corpus_directory);
  std::error_code error;
  fs::create_directories(out, error);
  require(!error, "cannot make the directory {}: {}", out, error.message());
  for (const Split split : all_splits) {
    progress.begin(name(split), corpus.documents(split));
    MegatronWriter writer((fs::path(out) / name(split)).string(), corpus.manifest().vocabulary);
    for (uint64_t d = 0; d < corpus.documents(split); ++d) {
      const auto document = corpus.document(split, d);
      writer.add(document);
      step(progress, document.size() * 4);
    }
    writer.finish();
  }
  Tokenizer::load(corpus.tokenizer_path()).save((fs::path(out) / tokenizer_file).string());
}

Manifest import_megatron(const MegatronImport& options, Progress& progress) {
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  const MegatronReader reader(options.prefix);
  require(reader.documents() > 0, "{}.idx names no document", options.prefix);
  Workplace place(options.out, options.force);
  const auto texts = read_texts(reader, tokenizer, progress);
  const SplitRule split = choose_split(texts, options.validation);

  tokenizer.save((fs::path(place.result()) / tokenizer_file).string());
  CorpusWriter writer(place.result(), empty_manifest(tokenizer));
  progress.begin("writing", reader.documents());
  for (uint64_t d = 0; d < reader.documents(); ++d) {
    const auto& [hash, bytes] = texts[d];
    writer.add(split(hash, bytes),
               ended(reader.document(d, tokenizer.vocabulary()), tokenizer.end_of_document()),
               bytes);
    step(progress, bytes);
  }
  Manifest manifest = writer.finish();
  const Hash128 source = hash128(fs::path(options.prefix).filename().string());
  manifest.sources = hex(source.high) + hex(source.low);
  place.publish(to_json(manifest));
  return manifest;
}

}  // namespace katman
