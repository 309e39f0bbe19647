#include "parallel/checkpoint/hf.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/hf_config.h"
#include "parallel/checkpoint/hf_weights.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// How a token is spelled in a tokenizer.json; null where the file does not say.
Json spelling(const std::string& tokenizer, int64_t id) {
  const Json json = Json::parse(tokenizer, nullptr, false);
  if (!json.is_object()) return nullptr;
  for (const Json& token : json.value("added_tokens", Json::array()))
    if (token.value("id", int64_t{-1}) == id) return token.value("content", Json());
  return nullptr;
}

void write_texts(const fs::path& checkpoint, const GptConfig& c, int64_t end_of_document,
                 const Files& files, const fs::path& to) {
  files.write(to / "config.json", hf_config_json(c, end_of_document));
  files.write(
      to / "generation_config.json",
      Json{{"bos_token_id", end_of_document}, {"eos_token_id", end_of_document}}.dump(2) + "\n");
  const std::string tokenizer = read_text(checkpoint / "tokenizer.json");
  files.write(to / "tokenizer.json", tokenizer);
  // Without it, the model's type chooses a class that reads the same file in its own way, and
  // nobody knows which token begins and ends a text.
  const Json end = spelling(tokenizer, end_of_document);
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"model_max_length", c.sequence},
                       {"clean_up_tokenization_spaces", false},
                       {"bos_token", end},
                       {"eos_token", end}};
  files.write(to / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace

std::string export_hf(const fs::path& checkpoint, const fs::path& out, int64_t end_of_document,
                      int64_t shard_bytes) {
  require_usage(!fs::exists(out), "{} exists already: name a directory that does not",
                out.string());
  const GptConfig c = read_checkpoint_info(checkpoint).model;
  const std::string name = hf_class(c);
  const Files files;
  const fs::path parent = fs::absolute(out).parent_path();
  const fs::path making = parent / fmt::format(".{}.{}", out.filename().string(), getpid());
  files.make_directory(making);
  try {
    write_hf_weights(checkpoint, c, files, making, shard_bytes);
    write_texts(checkpoint, c, end_of_document, files, making);
    fs::rename(making, out);
  } catch (...) {
    files.remove(making);
    throw;
  }
  return name;
}

void import_hf(const fs::path& directory, const fs::path& run,
               const std::string& tokenizer_fingerprint) {
  const fs::path checkpoints = run / "checkpoints";
  require_usage(!fs::exists(checkpoints), "{} exists already: name a new run directory",
                checkpoints.string());
  CheckpointInfo info;
  info.model = read_hf_config(directory / "config.json");
  info.tokenizer_fingerprint = tokenizer_fingerprint;
  const auto backend = make_backend("reference");
  const auto pieces = read_hf_weights(directory, info.model, *backend);
  ThreadWorld world(1);
  const auto comm = world.comm(0);
  CheckpointOptions options;
  options.tokenizer = directory / "tokenizer.json";
  options.weights_only = true;
  CheckpointStore store(checkpoints, options, *backend, *comm);
  store.save(info, pieces);
  require(store.finish(), "the checkpoint was not written; the log above says why");
  Files().write(run / "tokenizer.json", read_text(options.tokenizer));
}

}  // namespace katman
