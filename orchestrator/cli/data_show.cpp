// katman data show: documents of a corpus, by their number or by the samples that held them.
#include "orchestrator/cli/data_show.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/cli/excerpt.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/documents.h"

namespace katman {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct ShowOptions {
  std::string corpus, run;
  std::optional<uint64_t> document, step, seed;
  std::optional<int64_t> sequence;
  std::string split = name(Split::train), samples;
  bool as_json = false;
};

// Both ends belong to it: samples are told as "240 to 243".
struct Range {
  uint64_t first, last;
};

constexpr uint64_t most_samples = 100000;

Range range_of(const std::string& text) {
  Range range{};
  const char* end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, range.first);
  range.last = range.first;
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-')
    read = std::from_chars(read.ptr + 1, end, range.last);
  require_usage(read.ec == std::errc() && read.ptr == end && range.first <= range.last,
                "--samples {}: write it as FIRST-LAST, for example 240-243", text);
  require_usage(range.last - range.first < most_samples, "--samples {}: at most {} at a time", text,
                most_samples);
  return range;
}

void print_document(const json& document) {
  fmt::print("document {} of {}: {}\n{} tokens, in {}\n\n{}\n",
             document.at("number").get<uint64_t>(), document.at("split").get<std::string>(),
             source_words(document), document.at("tokens").get<uint64_t>(),
             document.at("shard").get<std::string>(), document.at("text").get<std::string>());
}

void print_sample(const json& sample) {
  fmt::print("sample {}: epoch {}, tokens from {} on\n", sample.at("index").get<uint64_t>(),
             sample.at("epoch").get<uint64_t>() + 1, sample.at("first_token").get<uint64_t>());
  for (const json& piece : sample.at("documents"))
    fmt::print("  document {}: {}\n    {} of its {} tokens, from token {} on: {}\n",
               piece.at("number").get<uint64_t>(), source_words(piece),
               piece.at("tokens").get<uint64_t>(), piece.at("of").get<uint64_t>(),
               piece.at("from").get<uint64_t>(), excerpt(piece.at("text"), 500));
}

void print(const json& view, const ShowOptions& options) {
  if (options.as_json)  // what is cut inside a character, or no UTF-8, is marked as such
    fmt::print("{}\n", view.dump(-1, ' ', false, json::error_handler_t::replace));
  else if (view.contains("documents"))
    print_sample(view);
  else
    print_document(view);
}

void say_what_is_unknown(const Corpus& corpus) {
  bool any = false;
  for (const Split split : all_splits) any = any || corpus.has_sources(split);
  if (!any)
    spdlog::info(
        "{} does not say where its documents came from: it was imported, or built before that was "
        "kept; build it again to know",
        corpus.directory());
}

// What the run in this directory was started with.
RunSpec spec_of(const ShowOptions& options) {
  const fs::path directory = options.run, file = directory / "run.textproto";
  require_usage(fs::exists(file), "{} is not the directory of a run: it has no run.textproto",
                options.run);
  RunSpec spec = read_run_file(file.string());
  complete(spec, directory.filename().string());
  spec.set_directory(options.run);
  if (!options.corpus.empty()) spec.mutable_data()->set_corpus(options.corpus);
  return spec;
}

void show_document(const ShowOptions& options) {
  const Corpus corpus =
      Corpus::open(options.run.empty() ? options.corpus : spec_of(options).data().corpus());
  const Split split = options.split == name(Split::validation) ? Split::validation : Split::train;
  require_usage(*options.document < corpus.documents(split),
                "--document {}: the {} split of {} has {} documents, the first is 0",
                *options.document, name(split), corpus.directory(), corpus.documents(split));
  say_what_is_unknown(corpus);
  print(document_view(corpus, Tokenizer::load(corpus.tokenizer_path()), split, *options.document),
        options);
}

void show_samples_of_run(const ShowOptions& options) {
  const RunSpec spec = spec_of(options);
  const RunSamples run(spec);
  say_what_is_unknown(run.corpus());
  if (options.step) {
    require_usage(*options.step < spec.steps(), "the run has {} steps; step {} is none of them",
                  spec.steps(), *options.step);
    for (uint64_t i = 0; i < run.batch(); ++i)
      print(run.view(run.index(*options.step, i)), options);
  } else {
    const auto [first, last] = range_of(options.samples);
    for (uint64_t i = 0; i <= last - first; ++i) print(run.view(first + i), options);
  }
}

void show_samples(const ShowOptions& options) {
  require_usage(options.sequence && options.seed,
                "which samples these are depends on the run: give --run DIR, or its --sequence and "
                "--seed");
  const auto [first, last] = range_of(options.samples);
  const Corpus corpus = Corpus::open(options.corpus);
  const Loader loader(corpus, Split::train, *options.sequence, *options.seed);
  const Tokenizer tokenizer = Tokenizer::load(corpus.tokenizer_path());
  say_what_is_unknown(corpus);
  for (uint64_t i = 0; i <= last - first; ++i)
    print(sample_view(loader, tokenizer, first + i), options);
}

void show(const ShowOptions& options) {
  const int asked =
      options.document.has_value() + options.step.has_value() + !options.samples.empty();
  require_usage(asked == 1, "say what to show: one of --document, --samples and --step");
  require_usage(!options.corpus.empty() || !options.run.empty(),
                "say where it lies: name the corpus, or a run that was trained on it with --run");
  if (options.document) return show_document(options);
  require_usage(!options.step || !options.run.empty(), "--step needs --run DIR");
  if (options.run.empty()) return show_samples(options);
  require_usage(!options.sequence && !options.seed,
                "the run says its own --sequence and --seed: leave them out");
  show_samples_of_run(options);
}

}  // namespace

void add_show(CLI::App& data) {
  auto options = std::make_shared<ShowOptions>();
  auto* command = data.add_subcommand(
      "show", "documents, with where they came from: by number, or of what a run trained on");
  command->add_option("CORPUS", options->corpus,
                      "its directory; with --run, if it is not where the run found it");
  command->add_option("--document", options->document, "the number of one, from 0");
  command->add_option("--split", options->split, "of --document: train or validation")
      ->check(CLI::IsMember({name(Split::train), name(Split::validation)}))
      ->capture_default_str();
  command->add_option("--run", options->run, "the directory of a run")->type_name("DIR");
  command
      ->add_option("--samples", options->samples,
                   "the documents in these training samples, as a rollback tells them")
      ->type_name("FIRST-LAST");
  command->add_option("--step", options->step, "those in this step of the run, from 0");
  command->add_option("--sequence", options->sequence, "tokens of a sample, for --samples")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", options->seed, "the seed of the run, for --samples");
  command->add_flag("--json", options->as_json, "one object in a line");
  command->footer(
      "Example: katman data show corpus --document 17\n"
      "         katman data show --run runs/gpt2-124m --samples 240-243");
  command->callback([options] { show(*options); });
}

}  // namespace katman
