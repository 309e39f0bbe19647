#include "parallel/checkpoint/hf.h"

#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/safetensors.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// One of our tensors and what it is called there.
struct Name {
  std::string ours, theirs;
  Shape shape;  // ours
  bool transposed = false, qkv = false;

  std::vector<int64_t> their_shape() const {
    std::vector<int64_t> extents(shape.extents().begin(), shape.extents().end());
    if (transposed) std::swap(extents[0], extents[1]);
    return extents;
  }
};

void add_layer(const GptConfig& c, int64_t layer, std::vector<Name>& names) {
  const std::string ours = fmt::format("h.{}.", layer), theirs = "transformer." + ours;
  const auto norm = [&](const std::string& name) {
    for (const char* part : {".weight", ".bias"})
      names.push_back({ours + name + part, theirs + name + part, {c.hidden}});
  };
  const auto linear = [&](const std::string& name, const std::string& other, int64_t in,
                          int64_t out, bool qkv) {
    names.push_back({ours + name + ".weight", theirs + other + ".weight", {out, in}, true, qkv});
    names.push_back({ours + name + ".bias", theirs + other + ".bias", {out}, false, qkv});
  };
  norm("ln_1");
  linear("attn.qkv", "attn.c_attn", c.hidden, 3 * c.hidden, true);
  linear("attn.proj", "attn.c_proj", c.hidden, c.hidden, false);
  norm("ln_2");
  linear("mlp.up", "mlp.c_fc", c.hidden, c.ff(), false);
  linear("mlp.down", "mlp.c_proj", c.ff(), c.hidden, false);
}

std::vector<Name> names_of(const GptConfig& c) {
  std::vector<Name> names = {
      {"wte.weight", "transformer.wte.weight", {c.vocabulary, c.hidden}},
      {"wpe.weight", "transformer.wpe.weight", {c.sequence, c.hidden}},
  };
  for (int64_t layer = 0; layer < c.layers; ++layer) add_layer(c, layer, names);
  for (const char* part : {".weight", ".bias"})
    names.push_back(
        {std::string("ln_f") + part, std::string("transformer.ln_f") + part, {c.hidden}});
  if (!c.tied_embedding)
    names.push_back({"head.weight", "lm_head.weight", {c.vocabulary, c.hidden}});
  return names;
}

// Where output `theirs` of a c_attn is among the outputs of our qkv.
int64_t our_output(const GptConfig& c, int64_t theirs) {
  const int64_t part = theirs / c.hidden, head = theirs % c.hidden / c.head_dim();
  return (head * 3 + part) * c.head_dim() + theirs % c.head_dim();
}

// Calls copy(index in ours, index in theirs) for every element.
template <class Copy>
void for_each_element(const GptConfig& c, const Name& name, Copy copy) {
  const int64_t outputs = name.shape[0], inputs = name.shape.rank() == 2 ? name.shape[1] : 1;
  for (int64_t output = 0; output < outputs; ++output) {
    const int64_t ours = name.qkv ? our_output(c, output) : output;
    for (int64_t input = 0; input < inputs; ++input)
      copy(ours * inputs + input,
           name.transposed ? input * outputs + output : output * inputs + input);
  }
}

Piece whole_piece(const Name& name, const Tensor& data) {
  Piece piece;
  piece.name = name.ours;
  piece.global = name.shape;
  piece.box = Box::whole(name.shape);
  piece.data = data;
  piece.owned = true;
  return piece;
}

Json config_json(const GptConfig& c, int64_t end_of_document) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"activation_function", "gelu_new"},
          {"n_layer", c.layers},
          {"n_head", c.heads},
          {"n_embd", c.hidden},
          {"n_inner", c.ff()},
          {"n_positions", c.sequence},
          {"n_ctx", c.sequence},
          {"vocab_size", c.vocabulary},
          {"layer_norm_epsilon", c.norm_epsilon},
          {"attn_pdrop", c.dropout},
          {"embd_pdrop", c.dropout},
          {"resid_pdrop", c.dropout},
          {"initializer_range", 0.02},
          {"tie_word_embeddings", c.tied_embedding},
          {"bos_token_id", end_of_document},
          {"eos_token_id", end_of_document},
          {"torch_dtype", "float32"}};
}

void write_weights(const fs::path& checkpoint, const GptConfig& c, const Files& files,
                   const fs::path& path) {
  const auto names = names_of(c);
  std::vector<SafeTensor> tensors;
  for (const Name& name : names) tensors.push_back({name.theirs, "F32", name.their_shape(), 0, 0});
  const std::string head = safetensors_head(tensors, {{"format", "pt"}});
  FileWriter file(files, path);
  file.write(std::as_bytes(std::span(head)));
  const auto backend = make_backend("reference");
  for (const Name& name : names) {
    const Tensor ours = backend->empty({name.shape.elements()}, DType::f32);
    const Piece piece = whole_piece(name, ours);
    load_checkpoint(checkpoint, {&piece, 1}, *backend);
    std::vector<float> theirs(static_cast<size_t>(ours.elements()));
    for_each_element(c, name, [&](int64_t mine, int64_t other) {
      theirs[static_cast<size_t>(other)] = ours.data<float>()[mine];
    });
    file.write(std::as_bytes(std::span(theirs)));
  }
  file.commit();
}

// --- the other way

Json read_json(const fs::path& path) {
  const auto json = Json::parse(read_text(path), nullptr, false);
  require(json.is_object(), "{} is not a JSON object", path.string());
  return json;
}

GptConfig config_of(const Json& json, const fs::path& path) {
  const auto text = [&](const char* key) { return json.value(key, std::string()); };
  require_usage(text("model_type") == "gpt2",
                "{} describes a model of type '{}'; only gpt2 can be "
                "imported",
                path.string(), text("model_type"));
  const std::string activation = json.value("activation_function", std::string("gelu_new"));
  require_usage(activation == "gelu_new" || activation == "gelu_pytorch_tanh",
                "{}: activation '{}' is not GPT-2's gelu_new", path.string(), activation);
  require_usage(json.value("scale_attn_weights", true) &&
                    !json.value("scale_attn_by_inverse_layer_idx", false),
                "{}: its attention scores are scaled otherwise than GPT-2's", path.string());
  const auto number = [&](const char* key, int64_t otherwise) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return otherwise;
    require(found->is_number_integer(), "{}: {} is not a whole number", path.string(), key);
    return found->get<int64_t>();
  };
  GptConfig c;
  c.layers = number("n_layer", 12);
  c.heads = number("n_head", 12);
  c.hidden = number("n_embd", 768);
  c.feed_forward = number("n_inner", 0);
  c.sequence = number("n_positions", 1024);
  c.vocabulary = number("vocab_size", 50257);
  c.tied_embedding = json.value("tie_word_embeddings", true);
  c.norm_epsilon = json.value("layer_norm_epsilon", 1e-5f);
  c.dropout = json.value("resid_pdrop", 0.1f);
  c.check();
  return c;
}

float from_half(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, sizeof half);
  return static_cast<float>(half);
}

// Element `index` of a tensor in any of the three types.
float element(const std::string& dtype, const std::byte* data, int64_t index) {
  if (dtype == "F32") {
    float value;
    std::memcpy(&value, data + 4 * index, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, sizeof bits);
  return dtype == "F16" ? from_half(bits) : std::bit_cast<float>(uint32_t{bits} << 16);
}

const SafeTensor& find_theirs(const SafeTensorsHead& head, const Name& name, const fs::path& path) {
  const std::string prefix = "transformer.";
  const SafeTensor* found = head.find(name.theirs);
  // The hub's own GPT-2 files were saved from the model without its head.
  if (!found && name.theirs.starts_with(prefix))
    found = head.find(name.theirs.substr(prefix.size()));
  require(found, "{} has no tensor {}", path.string(), name.theirs);
  require(found->shape == name.their_shape(), "{}: {} has another shape than config.json says",
          path.string(), found->name);
  require_usage(found->dtype == "F32" || found->dtype == "F16" || found->dtype == "BF16",
                "{}: {} is in {}; only F32, F16 and BF16 can be imported", path.string(),
                found->name, found->dtype);
  return *found;
}

std::vector<Piece> read_weights(const fs::path& path, const GptConfig& c, Backend& backend) {
  const FileReader file(path);
  const SafeTensorsHead head = read_safetensors_head(file);
  std::vector<Piece> pieces;
  std::vector<std::byte> bytes;
  for (const Name& name : names_of(c)) {
    const SafeTensor& theirs = find_theirs(head, name, path);
    bytes.resize(static_cast<size_t>(theirs.bytes));
    file.read(head.bytes + theirs.offset, bytes);
    const Tensor ours = backend.empty({name.shape.elements()}, DType::f32);
    for_each_element(c, name, [&](int64_t mine, int64_t other) {
      ours.data<float>()[mine] = element(theirs.dtype, bytes.data(), other);
    });
    pieces.push_back(whole_piece(name, ours));
  }
  return pieces;
}

}  // namespace

void export_hf(const fs::path& checkpoint, const fs::path& out, int64_t end_of_document) {
  require_usage(!fs::exists(out), "{} exists already: name a directory that does not",
                out.string());
  const GptConfig c = read_checkpoint_info(checkpoint).model;
  const Files files;
  const fs::path parent = fs::absolute(out).parent_path();
  const fs::path making = parent / fmt::format(".{}.{}", out.filename().string(), getpid());
  files.make_directory(making);
  try {
    write_weights(checkpoint, c, files, making / "model.safetensors");
    files.write(making / "config.json", config_json(c, end_of_document).dump(2) + "\n");
    files.write(
        making / "generation_config.json",
        Json{{"bos_token_id", end_of_document}, {"eos_token_id", end_of_document}}.dump(2) + "\n");
    files.write(making / "tokenizer.json", read_text(checkpoint / "tokenizer.json"));
    fs::rename(making, out);
  } catch (...) {
    files.remove(making);
    throw;
  }
}

void import_hf(const fs::path& directory, const fs::path& run,
               const std::string& tokenizer_fingerprint) {
  const fs::path checkpoints = run / "checkpoints";
  require_usage(!fs::exists(checkpoints), "{} exists already: name a new run directory",
                checkpoints.string());
  CheckpointInfo info;
  info.model = config_of(read_json(directory / "config.json"), directory / "config.json");
  info.tokenizer_fingerprint = tokenizer_fingerprint;
  const auto backend = make_backend("reference");
  const auto pieces = read_weights(directory / "model.safetensors", info.model, *backend);
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
