// katman data export and import: corpora for and from other programs.
#include "data_pipeline/exchange.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/watch.h"

namespace katman {
namespace {

void add_export(CLI::App& data) {
  auto corpus = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  auto* command = data.add_subcommand("export", "write a corpus that other programs train on");
  command->add_option("--to", "the format: megatron (.bin and .idx)")
      ->required()
      ->check(CLI::IsMember({"megatron"}));
  command->add_option("OUT", *out, "the directory to make")->required();
  command->add_option("CORPUS", *corpus, "its directory")->required();
  command->footer("Example: katman data export --to megatron for-megatron corpus");
  command->callback([corpus, out] {
    Progress progress;
    {
      const Watch watch(progress);
      export_megatron(*corpus, *out, progress);
    }
    fmt::print("{} is complete: --data-path {}/train is its training split\n", *out, *out);
  });
}

void add_import(CLI::App& data) {
  auto options = std::make_shared<MegatronImport>();
  auto* command = data.add_subcommand("import", "make a corpus of tokens from elsewhere");
  command->add_option("--from", "the format: megatron (.bin and .idx)")
      ->required()
      ->check(CLI::IsMember({"megatron"}));
  command->add_option("PREFIX", options->prefix, "of PREFIX.bin and PREFIX.idx")->required();
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "what the ids mean: tokenizer.json, or a folder with one or with vocab.json and "
                   "merges.txt")
      ->required();
  command->add_option("--out", options->out, "directory of the corpus")->required();
  command
      ->add_option("--validation", options->validation,
                   "share of the text to hold out; 0: about one per cent")
      ->check(CLI::Range(0.0, 0.999));
  command->add_flag("--force", options->force, "replace what is there");
  command->footer(
      "Example: katman data import --from megatron my_text_document --tokenizer tokenizer.json "
      "--out corpus");
  command->callback([options] {
    Progress progress;
    Manifest manifest;
    {
      const Watch watch(progress);
      manifest = import_megatron(*options, progress);
    }
    for (const Split split : all_splits)
      fmt::print("{:<12}{:>12} documents{:>15} tokens\n", name(split),
                 manifest.split(split).documents, manifest.split(split).tokens);
    fmt::print("{} is complete\n", options->out);
  });
}

}  // namespace

void add_exchange(CLI::App& data) {
  add_export(data);
  add_import(data);
}

}  // namespace katman
