#include "orchestrator/documents.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "orchestrator/control/spec.h"
#include "parallel/checkpoint/commit_log.h"

namespace katman {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr uint64_t shown_tokens = 64;  // of a piece

void add_source(json& view, const Corpus& corpus, Split split, uint64_t document) {
  view["source"] = nullptr;
  try {
    const std::string source = corpus.source(split, document);
    if (!source.empty()) view["source"] = source;
  } catch (const Error& error) {
    view["source_error"] = error.what();
  }
}

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return tokenizer.decode(std::vector<uint32_t>(ids.begin(), ids.end()));
}

const RunSpec& pre_trained(const RunSpec& spec) {
  require_usage(!spec.has_finetune(), "{} is fine-tuned: its examples are lines of {}", spec.name(),
                spec.finetune().train_size() ? spec.finetune().train(0) : "its files");
  return spec;
}

TrainConfig config_of(const RunSpec& spec, const Corpus& corpus) {
  return train_config(spec, static_cast<int64_t>(corpus.manifest().vocabulary));
}

// The samples that rollbacks of the run left out.
Skipped left_out(const RunSpec& spec) {
  const Files files;
  CommitLog log(fs::path(spec.directory()) / "checkpoints", files);
  log.refresh();
  Skipped skipped;
  for (const SkippedSamples& samples : log.skipped()) skipped.add(samples.first(), samples.count());
  return skipped;
}

}  // namespace

json document_view(const Corpus& corpus, const Tokenizer& tokenizer, Split split, uint64_t number) {
  std::vector<int32_t> ids = corpus.document(split, number);
  json view = {{"number", number},
               {"split", name(split)},
               {"shard", fs::path(corpus.place(split, number).shard).filename().string()},
               {"tokens", ids.size()}};
  if (!ids.empty()) ids.pop_back();  // end of document
  view["text"] = text_of(tokenizer, ids);
  add_source(view, corpus, split, number);
  return view;
}

json sample_view(const Loader& loader, const Tokenizer& tokenizer, uint64_t index) {
  const Corpus& corpus = loader.corpus();
  const uint64_t begin = loader.first_token(index);
  const uint64_t end = begin + static_cast<uint64_t>(loader.sequence());
  json documents = json::array();
  for (uint64_t at = begin; at < end;) {
    const Corpus::DocumentPlace place = corpus.document_at(loader.split(), at);
    const uint64_t here = std::min(end, place.end) - at;
    std::vector<int32_t> ids(std::min(here, shown_tokens));
    corpus.copy(loader.split(), at, ids);
    json piece = {{"number", place.number},   {"shard", fs::path(place.shard).filename().string()},
                  {"tokens", here},           {"of", place.end - place.begin},
                  {"from", at - place.begin}, {"text", text_of(tokenizer, ids)}};
    add_source(piece, corpus, loader.split(), place.number);
    documents.push_back(std::move(piece));
    at += here;
  }
  return {{"index", index},
          {"epoch", index / loader.samples_per_epoch()},
          {"first_token", begin},
          {"documents", std::move(documents)}};
}

std::string source_words(const json& view) {
  if (view.contains("source_error")) return view.at("source_error");
  return view.at("source").is_null() ? "source unknown" : view.at("source");
}

RunSamples::RunSamples(const RunSpec& spec)
    : corpus_(Corpus::open(pre_trained(spec).data().corpus())),
      tokenizer_(Tokenizer::load(corpus_.tokenizer_path())),
      batch_(static_cast<uint64_t>(config_of(spec, corpus_).batch_sequences)),
      loader_(corpus_, Split::train, config_of(spec, corpus_).model.sequence, spec.seed()),
      skipped_(left_out(spec)) {}

json RunSamples::view(uint64_t index) const { return sample_view(loader_, tokenizer_, index); }

}  // namespace katman
