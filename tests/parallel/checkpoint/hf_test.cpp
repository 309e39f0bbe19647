// Models of every shape to Hugging Face's files and back.
#include "parallel/checkpoint/hf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "parallel/checkpoint/hf_config.h"
#include "parallel/checkpoint/safetensors.h"
#include "parallel/comm/threads.h"
#include "tests/support/model.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

namespace fs = std::filesystem;

std::vector<Piece> whole_pieces(Params& params) {
  std::vector<Piece> pieces;
  for (const Param& param : params.all()) {
    Piece piece;
    piece.name = param.name;
    piece.global = param.global;
    piece.box = param.mine;
    piece.data = param.value.flat();
    piece.owned = true;
    pieces.push_back(piece);
  }
  return pieces;
}

// A model with noise in every parameter, saved as a checkpoint of `run`.
fs::path save(const Model& model, Params& params, const GptConfig& config, const TempDir& dir,
              Comm& comm) {
  for (const Param& param : params.all())
    model.backend->copy(normal(*model.backend, param.value.shape(), Key(9).at(param.name)),
                        param.value);
  CheckpointOptions options;
  options.tokenizer = dir.write("tokenizer.json", "{}");
  options.weights_only = true;
  CheckpointStore store(dir.path() / "run" / "checkpoints", options, *model.backend, comm);
  CheckpointInfo info;
  info.model = config;
  store.save(info, whole_pieces(params));
  EXPECT_TRUE(store.finish());
  return find_checkpoint(dir.path() / "run");
}

// How many parameters of `params` are not in the checkpoint, bit for bit.
int differing(const Model& model, Params& params, const fs::path& checkpoint) {
  int count = 0;
  for (const Piece& mine : whole_pieces(params)) {
    Piece loaded = mine;
    loaded.data = model.backend->empty({mine.data.elements()}, DType::f32);
    load_checkpoint(checkpoint, {&loaded, 1}, *model.backend);
    count += read(*model.backend, loaded.data) != read(*model.backend, mine.data);
  }
  return count;
}

class HuggingFace : public ::testing::Test {
 protected:
  std::unique_ptr<Comm> comm = alone();
  TempDir dir;
};

TEST_F(HuggingFace, models_come_back_bit_for_bit_whole_or_in_shards) {
  const std::map<std::string, std::string> classes = {
      {"gpt1", "OpenAIGPTLMHeadModel"}, {"gpt2", "GPT2LMHeadModel"}, {"llama", "LlamaForCausalLM"}};
  for (auto [name, config] : little_models()) {
    if (!classes.contains(name)) continue;
    for (const bool tied : {true, false}) {
      SCOPED_TRACE(name);
      config.tied_embedding = tied;
      const TempDir place;
      Model model(config, *comm);
      const fs::path checkpoint = save(model, model.params, config, place, *comm);
      for (const int64_t shard_bytes : {int64_t{1} << 30, int64_t{5000}}) {
        const fs::path out = place.path() / fmt::format("hf-{}", shard_bytes);
        const fs::path back = place.path() / fmt::format("back-{}", shard_bytes);
        EXPECT_EQ(export_hf(checkpoint, out, 3, shard_bytes), classes.at(name));
        EXPECT_EQ(fs::exists(out / "model.safetensors"), shard_bytes > 5000);
        import_hf(out, back, "fingerprint");
        EXPECT_EQ(differing(model, model.params, find_checkpoint(back)), 0);
        GptConfig expected = config, read = read_checkpoint_info(find_checkpoint(back)).model;
        expected.kv_groups = expected.groups(), read.kv_groups = read.groups();
        expected.feed_forward = expected.ff(), read.feed_forward = read.ff();
        EXPECT_EQ(read, expected);
      }
    }
  }
}

TEST_F(HuggingFace, shards_hold_every_tensor_once_and_stay_below_their_size) {
  const GptConfig config = little_gpt();
  Model model(config, *comm);
  const fs::path checkpoint = save(model, model.params, config, dir, *comm);
  const fs::path out = dir.path() / "hf";
  export_hf(checkpoint, out, 3, 5000);
  const auto index = nlohmann::json::parse(read_text(out / "model.safetensors.index.json"));
  std::map<std::string, size_t> tensors;
  for (const auto& [tensor, file] : index["weight_map"].items()) ++tensors[file.get<std::string>()];
  EXPECT_GT(tensors.size(), 2u);
  int64_t bytes = 0;
  for (const auto& [name, count] : tensors) {
    const FileReader file(out / name);
    const auto head = read_safetensors_head(file);
    EXPECT_EQ(head.tensors.size(), count);
    EXPECT_TRUE(count == 1 || file.bytes() - head.bytes <= 5000) << name;
    bytes += file.bytes() - head.bytes;
  }
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  EXPECT_EQ(bytes, 4 * config.parameters());
}

TEST_F(HuggingFace, a_model_that_transformers_does_not_have_is_refused_by_what_it_is) {
  for (const auto& [name, config] : little_models()) {
    if (name != "gpt3" && name != "bare") continue;
    const TempDir place;
    Model model(config, *comm);
    const fs::path checkpoint = save(model, model.params, config, place, *comm);
    const fs::path out = place.path() / "hf";
    EXPECT_TRUE(fails_with(name == "gpt3" ? "model.window = 3" : "GPT-1",
                           [&] { export_hf(checkpoint, out, 3); }));
    EXPECT_FALSE(fs::exists(out));
  }
}

TEST_F(HuggingFace, pickles_are_not_read) {
  const GptConfig config = little_gpt();
  dir.write("config.json", hf_config_json(config, 0));
  dir.write("tokenizer.json", "{}");
  dir.write("pytorch_model.bin", "\x80\x02}q");
  EXPECT_TRUE(fails_with("pytorch_model.bin is a pickle",
                         [&] { import_hf(dir.path(), dir.path() / "run", "x"); }));
  EXPECT_FALSE(fs::exists(dir.path() / "run" / "checkpoints"));
}

TEST_F(HuggingFace, an_index_that_leads_out_of_its_directory_is_refused) {
  dir.write("config.json", hf_config_json(little_gpt(), 0));
  dir.write("tokenizer.json", "{}");
  dir.write("model.safetensors.index.json",
            R"({"weight_map": {"transformer.wte.weight": "../elsewhere.safetensors"}})");
  EXPECT_TRUE(fails_with("../elsewhere.safetensors",
                         [&] { import_hf(dir.path(), dir.path() / "run", "x"); }));
}

TEST_F(HuggingFace, configs_that_compute_something_else_are_refused_by_field) {
  const std::map<std::string, std::string> refusals = {
      {R"({"model_type": "llama", "hidden_act": "gelu"})", "hidden_act"},
      {R"({"model_type": "llama", "attention_bias": true})", "attention_bias"},
      {R"({"model_type": "llama", "head_dim": 80})", "head_dim"},
      {R"({"model_type": "llama", "rope_scaling": {"rope_type": "yarn"}})", "yarn"},
      {R"({"model_type": "gpt2", "activation_function": "relu"})", "relu"},
      {R"({"model_type": "gpt2", "scale_attn_weights": false})", "scale_attn_weights"},
      {R"({"model_type": "gpt2", "n_layer": "twelve"})", "n_layer"},
      {R"({"model_type": "openai-gpt", "afn": "swish"})", "afn"},
      {R"({"model_type": "mamba"})", "mamba"},
  };
  for (const auto& [json, part] : refusals) {
    dir.write("config.json", json);
    EXPECT_TRUE(fails_with(part, [&] { read_hf_config(dir.path() / "config.json"); })) << json;
  }
}

// As meta-llama/Llama-3.2-1B and newer versions of transformers spell it.
TEST_F(HuggingFace, published_configs_are_read_as_the_presets) {
  dir.write("config.json", R"({"model_type": "llama", "head_dim": 64, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 8192,
    "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0,
    "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256})");
  EXPECT_EQ(read_hf_config(dir.path() / "config.json"), gpt_preset("llama3.2-1b"));
  dir.write("config.json", R"({"model_type": "llama", "hidden_size": 4096,
    "intermediate_size": 14336, "max_position_embeddings": 8192, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "tie_word_embeddings": false, "vocab_size": 128256})");
  EXPECT_EQ(read_hf_config(dir.path() / "config.json"), gpt_preset("llama3-8b"));
}

}  // namespace
}  // namespace katman::testing
