// katman checkpoint: look into checkpoints, compare them, exchange them.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/loaded_model.h"
#include "parallel/checkpoint/hf.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Place {
  std::string path;
  int64_t step = -1;
  fs::path chosen() const { return chosen_checkpoint(path, step); }
};

void add_place(CLI::App& command, Place& place) {
  command
      .add_option("CHECKPOINT", place.path, "a run's directory, its checkpoints, or one of them")
      ->required();
  command.add_option("--step", place.step, "the one of this step; default: the newest");
}

int64_t parameters(const CheckpointManifest& manifest) {
  int64_t total = 0;
  for (const auto& tensor : manifest.tensors()) total += shape_of(tensor).elements();
  return total;
}

Json to_json(const fs::path& directory, const CheckpointManifest& manifest) {
  Json files = Json::array(), tensors = Json::array();
  for (const auto& file : manifest.files())
    files.push_back({{"name", file.name()}, {"bytes", file.bytes()}});
  for (const auto& tensor : manifest.tensors())
    tensors.push_back(
        {{"name", tensor.name()},
         {"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
         {"parts", tensor.parts_size()}});
  Json counters = Json::object();
  for (const auto& [name, value] : manifest.counters()) counters[name] = value;
  return {
      {"directory", directory.string()},
      {"step", manifest.step()},
      {"samples_consumed", manifest.samples_consumed()},
      {"generation", manifest.generation()},
      {"producer", manifest.producer()},
      {"weights_only", manifest.weights_only()},
      {"tokenizer", manifest.tokenizer_fingerprint()},
      {"mesh",
       {{"tp", manifest.mesh().tp()}, {"dp", manifest.mesh().dp()}, {"pp", manifest.mesh().pp()}}},
      {"parameters", parameters(manifest)},
      {"counters", counters},
      {"files", files},
      {"tensors", tensors}};
}

void show(const fs::path& directory, const CheckpointManifest& manifest) {
  const auto& mesh = manifest.mesh();
  int64_t bytes = 0;
  for (const auto& file : manifest.files()) bytes += static_cast<int64_t>(file.bytes());
  fmt::print("{}: step {}, generation {}, by {}\n", directory.string(), manifest.step(),
             manifest.generation(), manifest.producer());
  fmt::print("saved under tp={} dp={} pp={}; {} files, {:.1f} MB; {:.2f} million parameters{}\n",
             mesh.tp(), mesh.dp(), mesh.pp(), manifest.files_size(),
             static_cast<double>(bytes) * 1e-6, static_cast<double>(parameters(manifest)) * 1e-6,
             manifest.weights_only() ? ", weights only" : " with both moments");
  fmt::print("tokenizer {}, {} samples consumed\n\n", manifest.tokenizer_fingerprint(),
             manifest.samples_consumed());
  fmt::print("{:<28}{:<20}{:>8}{:>14}\n", "tensor", "shape", "parts", "elements");
  for (const auto& tensor : manifest.tensors())
    fmt::print("{:<28}{:<20}{:>8}{:>14}\n", tensor.name(), to_string(shape_of(tensor)),
               tensor.parts_size(), shape_of(tensor).elements());
}

void add_inspect(CLI::App& parent) {
  auto place = std::make_shared<Place>();
  auto json = std::make_shared<bool>(false);
  auto* command = parent.add_subcommand("inspect", "what is in a checkpoint");
  add_place(*command, *place);
  command->add_flag("--json", *json, "as JSON");
  command->footer("Example: katman checkpoint inspect runs/gpt2-124m --step 1000");
  command->callback([place, json] {
    const fs::path directory = place->chosen();
    const CheckpointManifest manifest = read_manifest(directory);
    if (*json)
      fmt::print("{}\n", to_json(directory, manifest).dump());
    else
      show(directory, manifest);
  });
}

void add_verify(CLI::App& parent) {
  auto place = std::make_shared<Place>();
  auto* command = parent.add_subcommand("verify", "read every byte against its checksum");
  add_place(*command, *place);
  command->footer("Example: katman checkpoint verify runs/gpt2-124m");
  command->callback([place] {
    // Not the newest good one: a damaged one that is named is what is asked about.
    const fs::path directory =
        fs::exists(fs::path(place->path) / manifest_name) ? fs::path(place->path) : place->chosen();
    const auto defects = verify_checkpoint(directory);
    for (const std::string& defect : defects) spdlog::error("{}", defect);
    require(defects.empty(), "{} is damaged: {} defects", directory.string(), defects.size());
    fmt::print("{} is whole: every byte matches its checksum\n", directory.string());
  });
}

std::vector<float> load_tensor(const fs::path& directory, const CheckpointTensor& tensor,
                               Piece::What what, Backend& backend) {
  Piece piece;
  piece.what = what;
  piece.name = tensor.name();
  piece.global = shape_of(tensor);
  piece.box = Box::whole(piece.global);
  piece.data = backend.empty({piece.global.elements()}, DType::f32);
  load_checkpoint(directory, {&piece, 1}, backend);
  std::vector<float> values(static_cast<size_t>(piece.data.elements()));
  backend.download(piece.data, values.data());
  return values;
}

struct Difference {
  double largest = 0, size = 0;  // |a - b|, |a|
  int64_t elements = 0;          // that differ in any bit
};

Difference compare(const std::vector<float>& a, const std::vector<float>& b) {
  Difference difference;
  for (size_t e = 0; e < a.size(); ++e) {
    difference.size = std::max<double>(difference.size, std::abs(a[e]));
    difference.largest = std::max(difference.largest, std::abs(static_cast<double>(a[e]) - b[e]));
    difference.elements += std::bit_cast<uint32_t>(a[e]) != std::bit_cast<uint32_t>(b[e]);
  }
  return difference;
}

// How many tensors differ.
int64_t diff(const fs::path& a, const fs::path& b) {
  const auto backend = make_backend("reference");
  const CheckpointManifest manifest = read_manifest(a);
  const bool moments = !manifest.weights_only() && !read_manifest(b).weights_only();
  int64_t different = 0;
  for (const auto& tensor : manifest.tensors())
    for (const Piece::What what : {Piece::What::master, Piece::What::m, Piece::What::v}) {
      if (what != Piece::What::master && !moments) continue;
      const Difference found =
          compare(load_tensor(a, tensor, what, *backend), load_tensor(b, tensor, what, *backend));
      if (!found.elements) continue;
      ++different;
      fmt::print("{:<28}{:<8}{:>12} elements differ, by at most {:.3g} ({:.3g} of the largest)\n",
                 tensor.name(), name_of(what), found.elements, found.largest,
                 found.largest / std::max(found.size, 1e-300));
    }
  return different;
}

void add_diff(CLI::App& parent) {
  auto places = std::make_shared<std::pair<std::string, std::string>>();
  auto* command =
      parent.add_subcommand("diff", "compare two checkpoints of one model, whatever their layouts");
  command->add_option("A", places->first, "a checkpoint or a run")->required();
  command->add_option("B", places->second, "another")->required();
  command->footer("Example: katman checkpoint diff runs/a runs/b");
  command->callback([places] {
    const fs::path a = find_checkpoint(places->first), b = find_checkpoint(places->second);
    const int64_t different = diff(a, b);
    require(different == 0, "{} and {} differ in {} tensors", a.string(), b.string(), different);
    fmt::print("every bit of every tensor is the same\n");
  });
}

void add_export(CLI::App& parent) {
  auto place = std::make_shared<Place>();
  auto out = std::make_shared<std::string>();
  auto* command = parent.add_subcommand("export", "write a model that other programs load");
  command->add_option("--to", "the format: hf (a Hugging Face directory)")
      ->required()
      ->check(CLI::IsMember({"hf"}));
  command->add_option("OUT", *out, "the directory to make")->required();
  add_place(*command, *place);
  auto shard_bytes = std::make_shared<int64_t>(5'000'000'000);
  command->add_option("--shard-bytes", *shard_bytes, "start another file after so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer("Example: katman checkpoint export --to hf my-model runs/gpt2-124m");
  command->callback([place, out, shard_bytes] {
    const fs::path checkpoint = place->chosen();
    const std::string name =
        export_hf(checkpoint, *out, tokenizer_of(checkpoint).end_of_document(), *shard_bytes);
    fmt::print("{} is complete: {}.from_pretrained(\"{}\") loads it\n", *out, name, *out);
  });
}

void add_import(CLI::App& parent) {
  auto directory = std::make_shared<std::string>(), run = std::make_shared<std::string>();
  auto* command = parent.add_subcommand("import", "make a run of a model from elsewhere");
  command
      ->add_option("--from",
                   "the format: hf (a Hugging Face directory with a GPT-1, GPT-2 or Llama)")
      ->required()
      ->check(CLI::IsMember({"hf"}));
  command
      ->add_option("DIRECTORY", *directory,
                   "with config.json, model.safetensors (or shards of it), tokenizer.json")
      ->required()
      ->check(CLI::ExistingDirectory);
  command->add_option("--out", *run, "the run directory to make")->required();
  command->footer("Example: katman checkpoint import --from hf gpt2 --out runs/from-gpt2");
  command->callback([directory, run] {
    const Tokenizer tokenizer = Tokenizer::load(*directory);
    import_hf(*directory, *run, tokenizer.fingerprint());
    fmt::print(
        "{} is complete: katman generate --checkpoint {} uses it, and katman train with "
        "directory={} trains it further\n",
        *run, *run, *run);
  });
}

}  // namespace

void add_checkpoint(CLI::App& app) {
  auto* checkpoint =
      app.add_subcommand("checkpoint", "look into checkpoints, compare and exchange them");
  checkpoint->require_subcommand(1);
  checkpoint->footer("Example: katman checkpoint inspect runs/gpt2-124m");
  add_inspect(*checkpoint);
  add_verify(*checkpoint);
  add_diff(*checkpoint);
  add_export(*checkpoint);
  add_import(*checkpoint);
}

}  // namespace katman
