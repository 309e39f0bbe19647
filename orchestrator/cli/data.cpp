// katman data: raw files become a corpus, and a look into one.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "data_pipeline/build.h"
#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/corpus/loader.h"
#include "data_pipeline/corpus/permute.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/data_show.h"
#include "orchestrator/cli/excerpt.h"
#include "orchestrator/cli/watch.h"
#include "orchestrator/documents.h"

namespace katman {
namespace {

struct DataOptions {
  BuildOptions build;
  std::string pattern;  // empty: the default
  bool json = false;
};

std::shared_ptr<DataOptions> add_input_options(CLI::App& command) {
  auto options = std::make_shared<DataOptions>();
  BuildOptions& build = options->build;
  build.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command
      .add_option("INPUT", build.inputs,
                  "files and directories: WARC, WET, HTML, JSON lines, plain text; gzip, zstd")
      ->required();
  command.add_option("--threads", build.threads, "any number gives the same bytes")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--text-field", build.read.json_text_field, "where JSON lines keep the text")
      ->capture_default_str();
  command.add_option("--url-field", build.read.json_url_field, "where JSON lines keep the address")
      ->capture_default_str();
  command.add_option("--drop", build.clean.enable, "also drop by this rule")->type_name("RULE");
  command.add_option("--no-drop", build.clean.disable, "do not drop by this rule")
      ->type_name("RULE");
  command.add_flag("--force", build.force, "replace what is there");
  command.add_flag("--json", options->json, "the final report as JSON");
  return options;
}

void add_vocabulary_options(CLI::App& command, DataOptions& options) {
  command.add_option("--vocabulary", options.build.vocabulary, "tokens to learn")
      ->check(CLI::Range(257u, 1u << 24))
      ->capture_default_str();
  command.add_option("--pattern", options.pattern,
                     "pre-tokeniser: gpt2 (the default), llama3 or o200k");
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void run_build(DataOptions& options) {
  if (!options.pattern.empty()) options.build.pattern = pattern_named(options.pattern);
  BuildResult result;
  const double elapsed_s = seconds_of([&] {
    Progress progress;
    const Watch watch(progress);
    result = build_corpus(options.build, progress);
  });
  if (options.json) {
    fmt::print("{}", report_json(result.ledger, result.manifest));
    return;
  }
  fmt::print("{}", report_table(result.ledger, result.manifest));
  fmt::print("{} is complete: {:.1f} s, {:.1f} MB/s of pages, {:.0f} documents/s\n",
             options.build.out, elapsed_s,
             static_cast<double>(result.ledger.page_bytes) / 1e6 / elapsed_s,
             static_cast<double>(result.ledger.records) / elapsed_s);
}

void add_build(CLI::App& data) {
  auto* command = data.add_subcommand("build", "raw files -> tokenizer, token shards, report");
  auto options = add_input_options(*command);
  BuildOptions& build = options->build;
  command->add_option("--out", build.out, "directory of the corpus")->required();
  auto* given = command->add_option("--tokenizer", build.tokenizer,
                                    "use this one instead of learning one: tokenizer.json, a "
                                    "folder with it or with vocab.json and merges.txt, or a "
                                    ".tiktoken file, which needs --pattern");
  add_vocabulary_options(*command, *options);
  given->excludes("--vocabulary");
  command
      ->add_option("--validation", build.validation,
                   "share of the text to hold out; 0: about one per cent")
      ->check(CLI::Range(0.0, 0.999));
  command->footer(
      "Scratch files in the output directory take about a third of the size of the clean text.\n"
      "Example: katman data build --out corpus --vocabulary 8192 crawl/*.warc.gz");
  command->callback([options] { run_build(*options); });
}

void add_train_tokenizer(CLI::App& data) {
  auto* command =
      data.add_subcommand("train-tokenizer", "learn a byte-level BPE vocabulary from raw files");
  auto options = add_input_options(*command);
  command->add_option("--out", options->build.out, "the tokenizer.json to write")->required();
  add_vocabulary_options(*command, *options);
  command->footer("Example: katman data train-tokenizer --out tokenizer.json pages.jsonl.zst");
  command->callback([options] {
    if (!options->pattern.empty()) options->build.pattern = pattern_named(options->pattern);
    Progress progress;
    Ledger ledger;
    {
      const Watch watch(progress);
      ledger = train_tokenizer(options->build, progress);
    }
    const Tokenizer tokenizer = Tokenizer::load(options->build.out);
    if (options->json)
      fmt::print("{}\n", nlohmann::ordered_json{{"tokenizer", options->build.out},
                                                {"fingerprint", tokenizer.fingerprint()},
                                                {"vocabulary", tokenizer.vocabulary()},
                                                {"documents", ledger.kept}}
                             .dump());
    else
      fmt::print("{}: {} tokens, fingerprint {}, learned from {} documents\n", options->build.out,
                 tokenizer.vocabulary(), tokenizer.fingerprint(), ledger.kept);
  });
}

struct InspectOptions {
  std::string directory;
  uint64_t samples = 3, seed = 0;
  bool verify = false, json = false;
  std::string windows;  // "FIRST:COUNT"
  int64_t sequence = 1024;
};

// What training sees: samples [first, first + count) as ids, each with the target of its last
// token.
void show_windows(const Corpus& corpus, const InspectOptions& options) {
  uint64_t first = 0, count = 0;
  const bool read = std::sscanf(options.windows.c_str(), "%lu:%lu", &first, &count) == 2;
  require_usage(read, "--windows {}: write it as FIRST:COUNT, for example 0:8", options.windows);
  const Loader loader(corpus, Split::train, options.sequence, options.seed);
  std::vector<int32_t> ids(static_cast<size_t>(options.sequence) + 1);
  auto samples = nlohmann::json::array();
  for (uint64_t sample = first; sample < first + count; ++sample) {
    loader.sample(sample, ids);
    samples.push_back(ids);
  }
  fmt::print("{}\n", nlohmann::json{{"samples", samples}}.dump());
}

void show(const Corpus& corpus, const InspectOptions& options) {
  const Manifest& manifest = corpus.manifest();
  const Tokenizer tokenizer = Tokenizer::load(corpus.tokenizer_path());
  fmt::print("{}: vocabulary {}, end of document {}, tokenizer {}\n", corpus.directory(),
             manifest.vocabulary, manifest.end_of_document, manifest.tokenizer_fingerprint);
  for (const Split split : all_splits) {
    const SplitEntry& entry = manifest.split(split);
    fmt::print("\n{}: {} documents, {} tokens, {} bytes of text ({:.2f} per token), {} shards\n",
               name(split), entry.documents, entry.tokens, entry.text_bytes,
               static_cast<double>(entry.text_bytes) /
                   static_cast<double>(std::max<uint64_t>(1, entry.tokens)),
               entry.shards.size());
    for (uint64_t i = 0; i < std::min(options.samples, entry.documents); ++i) {
      const uint64_t document = permute(i, entry.documents, Key(options.seed).at("inspect"));
      const auto view = document_view(corpus, tokenizer, split, document);
      fmt::print("  document {}, {}: {}\n", document, source_words(view),
                 excerpt(view.at("text"), 500));
    }
  }
}

void add_inspect(CLI::App& data) {
  auto options = std::make_shared<InspectOptions>();
  auto* command = data.add_subcommand("inspect", "what is in a corpus");
  command->add_option("CORPUS", options->directory, "its directory")->required();
  command->add_option("--samples", options->samples, "documents to show per split")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "another seed shows other documents")
      ->capture_default_str();
  command->add_flag("--verify", options->verify, "read every byte against its checksum");
  command->add_flag("--json", options->json, "the manifest as JSON");
  command
      ->add_option("--windows", options->windows,
                   "the ids of these training samples, as a run with --seed sees them, as JSON")
      ->type_name("FIRST:COUNT");
  command->add_option("--sequence", options->sequence, "tokens of a sample, for --windows")
      ->capture_default_str();
  command->footer("Example: katman data inspect corpus --samples 5 --verify");
  command->callback([options] {
    const Corpus corpus = Corpus::open(options->directory);
    if (options->verify) corpus.verify();
    if (!options->windows.empty())
      show_windows(corpus, *options);
    else if (options->json)
      fmt::print("{}", to_json(corpus.manifest()));
    else
      show(corpus, *options);
    if (options->verify) spdlog::info("every byte of {} matches its checksum", options->directory);
  });
}

}  // namespace

void add_data(CLI::App& app) {
  auto* data = app.add_subcommand("data", "turn raw files into a corpus, and look into one");
  data->require_subcommand(1);
  data->footer("Example: katman data build --out corpus --vocabulary 8192 crawl/*.warc.gz");
  add_build(*data);
  add_train_tokenizer(*data);
  add_inspect(*data);
  add_show(*data);
  add_exchange(*data);
}

}  // namespace katman
