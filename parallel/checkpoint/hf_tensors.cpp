#include "parallel/checkpoint/hf_tensors.h"

namespace katman {
namespace {

using Rows = HfTensor::Rows;

// Lists the tensors of one model.
class Listing {
 public:
  Listing(const GptConfig& config, std::vector<HfTensor>& tensors) : c_(config), list_(tensors) {}

  void table(const std::string& ours, const std::string& theirs, int64_t rows) {
    add(theirs, ours, {rows, c_.hidden}, rows);
  }
  void norm(const std::string& ours, const std::string& theirs) {
    add(theirs + ".weight", ours + ".weight", {c_.hidden}, c_.hidden);
    if (c_.norm == NormKind::layer) add(theirs + ".bias", ours + ".bias", {c_.hidden}, c_.hidden);
  }
  // Conv1D: weights [inputs, outputs], and a bias.
  void conv(const std::string& ours, const std::string& theirs, int64_t in, int64_t out,
            Rows rows = Rows::same) {
    add(theirs + ".weight", ours + ".weight", {out, in}, out, rows, true);
    add(theirs + ".bias", ours + ".bias", {out}, out, rows);
  }
  // `outputs` of the `out` rows of ours.
  void linear(const std::string& ours, const std::string& theirs, int64_t in, int64_t out,
              int64_t outputs, Rows rows = Rows::same) {
    add(theirs + ".weight", ours + ".weight", {out, in}, outputs, rows);
  }

 private:
  void add(const std::string& theirs, const std::string& ours, Shape shape, int64_t outputs,
           Rows rows = Rows::same, bool transposed = false) {
    list_.push_back({theirs, ours, shape, outputs, rows, transposed});
  }

  const GptConfig& c_;
  std::vector<HfTensor>& list_;
};

void add_gpt_layer(const GptConfig& c, int64_t layer, Listing& list) {
  const std::string ours = fmt::format("h.{}.", layer), theirs = "transformer." + ours;
  list.norm(ours + "ln_1", theirs + "ln_1");
  list.conv(ours + "attn.qkv", theirs + "attn.c_attn", c.hidden, 3 * c.hidden, Rows::gpt_qkv);
  list.conv(ours + "attn.proj", theirs + "attn.c_proj", c.hidden, c.hidden);
  list.norm(ours + "ln_2", theirs + "ln_2");
  list.conv(ours + "mlp.up", theirs + "mlp.c_fc", c.hidden, c.ff());
  list.conv(ours + "mlp.down", theirs + "mlp.c_proj", c.ff(), c.hidden);
}

void add_llama_layer(const GptConfig& c, int64_t layer, Listing& list) {
  const std::string ours = fmt::format("h.{}.", layer);
  const std::string theirs = fmt::format("model.layers.{}.", layer);
  const int64_t grouped = c.groups() * c.head_dim();
  list.norm(ours + "ln_1", theirs + "input_layernorm");
  const auto qkv = [&](const char* part, int64_t outputs, Rows rows) {
    list.linear(ours + "attn.qkv", theirs + "self_attn." + part, c.hidden, c.qkv_rows(), outputs,
                rows);
  };
  qkv("q_proj", c.hidden, Rows::q);
  qkv("k_proj", grouped, Rows::k);
  qkv("v_proj", grouped, Rows::v);
  list.linear(ours + "attn.proj", theirs + "self_attn.o_proj", c.hidden, c.hidden, c.hidden);
  list.norm(ours + "ln_2", theirs + "post_attention_layernorm");
  list.linear(ours + "mlp.up", theirs + "mlp.gate_proj", c.hidden, c.up_rows(), c.ff(), Rows::gate);
  list.linear(ours + "mlp.up", theirs + "mlp.up_proj", c.hidden, c.up_rows(), c.ff(), Rows::up);
  list.linear(ours + "mlp.down", theirs + "mlp.down_proj", c.ff(), c.hidden, c.hidden);
}

// Head `head` of the queries, or of the keys (part 1) or values (part 2), is this vector of qkv.
int64_t head_in_qkv(const GptConfig& c, int64_t part, int64_t head) {
  const int64_t queries = c.queries_per_group();
  if (part == 0) return head / queries * (queries + 2) + head % queries;
  return head * (queries + 2) + queries + part - 1;
}

int64_t gated_row(const GptConfig& c, int64_t half, int64_t output) {
  const int64_t block = c.gate_block();
  return (2 * (output / block) + half) * block + output % block;
}

}  // namespace

HfFamily hf_family(const GptConfig& c) {
  require_usage(c.window == 0,
                "this model has banded attention (model.window = {}), which no class of "
                "transformers has together with biases on queries and keys: it cannot be "
                "exported; a GPT-3 trained with model.window=0 is a GPT-2 there",
                c.window);
  const bool gpt = c.norm == NormKind::layer && c.activation == Activation::gelu &&
                   c.positions == Positions::learned && c.biases && c.groups() == c.heads;
  if (gpt && c.norm_place == NormPlace::before) return HfFamily::gpt2;
  if (gpt && c.ff() == 4 * c.hidden) return HfFamily::gpt1;
  const bool llama = c.norm == NormKind::rms && c.activation == Activation::swiglu &&
                     c.positions == Positions::rotary && !c.biases &&
                     c.norm_place == NormPlace::before;
  require_usage(llama,
                "this mixture of norm, activation, positions, biases and groups is none of the "
                "shapes that can be exchanged with transformers: GPT-1 (norms after, "
                "feed_forward = 4 * hidden), GPT-2 and Llama");
  return HfFamily::llama;
}

std::vector<int64_t> HfTensor::their_shape() const {
  if (shape.rank() == 1) return {outputs};
  if (transposed) return {inputs(), outputs};
  return {outputs, inputs()};
}

int64_t HfTensor::our_row(const GptConfig& c, int64_t output) const {
  const int64_t d = c.head_dim();
  const auto of_head = [&](int64_t part, int64_t at) {
    return head_in_qkv(c, part, at / d) * d + at % d;
  };
  switch (rows) {
    case Rows::same:
      return output;
    case Rows::gpt_qkv:
      return of_head(output / c.hidden, output % c.hidden);
    case Rows::q:
      return of_head(0, output);
    case Rows::k:
      return of_head(1, output);
    case Rows::v:
      return of_head(2, output);
    case Rows::gate:
      return gated_row(c, 0, output);
    case Rows::up:
      return gated_row(c, 1, output);
  }
  fail("{} has rows of no kind", theirs);
}

std::vector<HfTensor> hf_tensors(const GptConfig& c) {
  std::vector<HfTensor> tensors;
  Listing list(c, tensors);
  const HfFamily family = hf_family(c);
  if (family == HfFamily::llama) {
    list.table("wte.weight", "model.embed_tokens.weight", c.vocabulary);
    for (int64_t layer = 0; layer < c.layers; ++layer) add_llama_layer(c, layer, list);
    list.norm("ln_f", "model.norm");
  } else {
    const bool first = family == HfFamily::gpt1;
    list.table("wte.weight", first ? "transformer.tokens_embed.weight" : "transformer.wte.weight",
               c.vocabulary);
    list.table("wpe.weight",
               first ? "transformer.positions_embed.weight" : "transformer.wpe.weight", c.sequence);
    for (int64_t layer = 0; layer < c.layers; ++layer) add_gpt_layer(c, layer, list);
    if (!first) list.norm("ln_f", "transformer.ln_f");
  }
  if (!c.tied_embedding) list.table("head.weight", "lm_head.weight", c.vocabulary);
  return tensors;
}

}  // namespace katman
