#include "parallel/checkpoint/hf_config.h"

#include <nlohmann/json.hpp>

#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/hf_tensors.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// What GPT-1 and GPT-2 call alike.
Json gpt_json(const GptConfig& c) {
  return {{"n_layer", c.layers},     {"n_head", c.heads},
          {"n_embd", c.hidden},      {"n_positions", c.sequence},
          {"n_ctx", c.sequence},     {"layer_norm_epsilon", c.norm_epsilon},
          {"attn_pdrop", c.dropout}, {"embd_pdrop", c.dropout},
          {"resid_pdrop", c.dropout}};
}

Json llama_json(const GptConfig& c) {
  Json json = {{"hidden_act", "silu"},           {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads}, {"num_key_value_heads", c.groups()},
               {"hidden_size", c.hidden},        {"head_dim", c.head_dim()},
               {"intermediate_size", c.ff()},    {"max_position_embeddings", c.sequence},
               {"rms_norm_eps", c.norm_epsilon}, {"attention_dropout", c.dropout},
               {"attention_bias", false},        {"mlp_bias", false},
               {"rope_theta", c.rotary.theta},   {"rope_scaling", nullptr}};
  if (c.rotary.factor != 1)
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", c.rotary.factor},
                            {"low_freq_factor", c.rotary.low},
                            {"high_freq_factor", c.rotary.high},
                            {"original_max_position_embeddings", c.rotary.original}};
  return json;
}

Json family_json(const GptConfig& c) {
  const HfFamily family = hf_family(c);
  if (family == HfFamily::llama) return llama_json(c);
  Json json = gpt_json(c);
  if (family == HfFamily::gpt1) {
    json["afn"] = "gelu";
  } else {
    json["n_inner"] = c.ff();
    json["activation_function"] = "gelu_new";
  }
  return json;
}

struct Names {
  const char *architecture, *type;
};
Names names_of(HfFamily family) {
  switch (family) {
    case HfFamily::gpt1:
      return {"OpenAIGPTLMHeadModel", "openai-gpt"};
    case HfFamily::gpt2:
      return {"GPT2LMHeadModel", "gpt2"};
    case HfFamily::llama:
      return {"LlamaForCausalLM", "llama"};
  }
  fail("a family without a name");
}

// --- the other way

// Fields of a config.json, with their defaults where they are missing or null.
class Fields {
 public:
  Fields(Json json, const fs::path& file) : json_(std::move(json)), file_(file.string()) {}

  template <class T>
  T get(const char* key, T otherwise) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return otherwise;
    try {
      return found->template get<T>();
    } catch (const Json::exception&) {
      fail("{}: {} is {}, which it cannot be", file_, key, found->dump());
    }
  }
  int64_t number(const char* key, int64_t otherwise) const {
    const auto found = json_.find(key);
    require(found == json_.end() || found->is_null() || found->is_number_integer(),
            "{}: {} is not a whole number", file_, key);
    return get<int64_t>(key, otherwise);
  }
  Fields inside(const char* key) const { return {get<Json>(key, Json::object()), file_}; }
  // Refuses a value that would compute something else than we do.
  template <class T>
  void must_be(const char* key, T value) const {
    const T given = get<T>(key, value);
    require_usage(given == value, "{}: {} is {}; only {} can be imported", file_, key,
                  Json(given).dump(), Json(value).dump());
  }
  const std::string& file() const { return file_; }

 private:
  Json json_;
  std::string file_;
};

GptConfig gpt_config(const Fields& f) {
  GptConfig c;
  c.layers = f.number("n_layer", 12);
  c.heads = f.number("n_head", 12);
  c.hidden = f.number("n_embd", 768);
  c.norm_epsilon = f.get("layer_norm_epsilon", 1e-5f);
  c.dropout = f.get("resid_pdrop", 0.1f);
  c.tied_embedding = f.get("tie_word_embeddings", true);
  return c;
}

GptConfig gpt1_config(const Fields& f) {
  GptConfig c = gpt_config(f);
  f.must_be<std::string>("afn", "gelu");
  c.sequence = f.number("n_positions", 512);
  c.vocabulary = f.number("vocab_size", 40478);
  c.norm_place = NormPlace::after;
  c.scaled_init = false;
  c.position_deviation = 0.02f;
  return c;
}

GptConfig gpt2_config(const Fields& f) {
  GptConfig c = gpt_config(f);
  const auto activation = f.get<std::string>("activation_function", "gelu_new");
  require_usage(activation == "gelu_new" || activation == "gelu_pytorch_tanh",
                "{}: activation '{}' is not GPT-2's gelu_new", f.file(), activation);
  f.must_be("scale_attn_weights", true);
  f.must_be("scale_attn_by_inverse_layer_idx", false);
  c.feed_forward = f.number("n_inner", 0);
  c.sequence = f.number("n_positions", 1024);
  c.vocabulary = f.number("vocab_size", 50257);
  return c;
}

// Older files have rope_theta and rope_scaling, newer ones rope_parameters with both in it.
Rotary rotary_of(const Fields& f) {
  Rotary rotary;
  const Fields newer = f.inside("rope_parameters"), older = f.inside("rope_scaling");
  rotary.theta = newer.get("rope_theta", f.get("rope_theta", 10000.0f));
  for (const Fields& scaling : {newer, older}) {
    const auto type = scaling.get<std::string>("rope_type", scaling.get<std::string>("type", ""));
    require_usage(type.empty() || type == "default" || type == "llama3",
                  "{}: rotary positions are scaled by '{}'; only llama3 can be imported", f.file(),
                  type);
    if (type != "llama3") continue;
    rotary.factor = scaling.get("factor", 8.0f);
    rotary.low = scaling.get("low_freq_factor", 1.0f);
    rotary.high = scaling.get("high_freq_factor", 4.0f);
    rotary.original = scaling.number("original_max_position_embeddings", 8192);
  }
  return rotary;
}

GptConfig llama_config(const Fields& f) {
  GptConfig c;
  f.must_be<std::string>("hidden_act", "silu");
  f.must_be("attention_bias", false);
  f.must_be("mlp_bias", false);
  c.layers = f.number("num_hidden_layers", 32);
  c.heads = f.number("num_attention_heads", 32);
  c.kv_groups = f.number("num_key_value_heads", c.heads);
  c.hidden = f.number("hidden_size", 4096);
  c.feed_forward = f.number("intermediate_size", 11008);
  c.sequence = f.number("max_position_embeddings", 2048);
  c.vocabulary = f.number("vocab_size", 32000);
  c.norm_epsilon = f.get("rms_norm_eps", 1e-6f);
  c.dropout = f.get("attention_dropout", 0.0f);
  c.tied_embedding = f.get("tie_word_embeddings", false);
  c.rotary = rotary_of(f);
  c.norm = NormKind::rms;
  c.activation = Activation::swiglu;
  c.positions = Positions::rotary;
  c.biases = false;
  require_usage(c.heads > 0, "{}: num_attention_heads is {}", f.file(), c.heads);
  f.must_be("head_dim", c.head_dim());
  return c;
}

}  // namespace

std::string hf_class(const GptConfig& config) { return names_of(hf_family(config)).architecture; }

std::string hf_config_json(const GptConfig& c, int64_t end_of_document) {
  const Names names = names_of(hf_family(c));
  Json json = {{"architectures", {names.architecture}}, {"model_type", names.type}};
  json.update(family_json(c));
  json.update({{"vocab_size", c.vocabulary},
               {"initializer_range", 0.02},
               {"tie_word_embeddings", c.tied_embedding},
               {"bos_token_id", end_of_document},
               {"eos_token_id", end_of_document},
               {"torch_dtype", "float32"}});
  return json.dump(2) + "\n";
}

GptConfig read_hf_config(const fs::path& file) {
  Json json = Json::parse(read_text(file), nullptr, false);
  require(json.is_object(), "{} is not a JSON object", file.string());
  const Fields fields(std::move(json), file);
  const auto type = fields.get<std::string>("model_type", "");
  GptConfig config;
  if (type == "openai-gpt")
    config = gpt1_config(fields);
  else if (type == "gpt2")
    config = gpt2_config(fields);
  else if (type == "llama")
    config = llama_config(fields);
  else
    throw UsageError(fmt::format(
        "{} describes a model of type '{}'; only openai-gpt, gpt2 and llama can be imported",
        file.string(), type));
  config.check();
  return config;
}

}  // namespace katman
