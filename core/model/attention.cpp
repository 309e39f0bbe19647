#include "core/model/attention.h"

namespace katman {
namespace {

Tensor frequencies_on(Backend& backend, const GptConfig& config) {
  if (config.positions != Positions::rotary) return {};
  const std::vector<float> values = config.rotary.frequencies(config.head_dim());
  const Tensor frequencies = backend.empty({config.head_dim() / 2}, DType::f32);
  backend.upload(values.data(), frequencies);
  return frequencies;
}

}  // namespace

Attention::Attention(const ModelContext& context, Params& params, const std::string& name,
                     const GptConfig& config, int64_t layer, int64_t cache_index)
    : context_(context),
      qkv_(context, params, name + ".qkv", config.hidden, config.qkv_rows(), config.weight_init(),
           config.biases),
      proj_(context, params, name + ".proj", config.hidden, config.hidden, config.residual_init(),
            config.biases),
      groups_(config.groups()),
      queries_per_group_(config.queries_per_group()),
      head_dim_(config.head_dim()),
      window_(config.window_of(layer)),
      frequencies_(frequencies_on(context.backend, config)),
      dropout_(config.dropout),
      dropout_key_(context.seed.at("dropout").at(name + ".probabilities")),
      cache_index_(static_cast<size_t>(cache_index)) {}

AttentionShape Attention::shape(const Micro& micro) const {
  AttentionShape shape;
  shape.sequences = micro.sequences;
  shape.length = micro.length;
  shape.groups = groups_ / context_.tp.size();
  shape.queries_per_group = queries_per_group_;
  shape.head_dim = head_dim_;
  shape.window = window_;
  shape.document_start = micro.document_start;
  shape.dropout = micro.training ? dropout_ : 0;
  shape.dropout_key = dropout_key_;
  shape.sequence_begin = micro.first_sequence;
  shape.head_begin = context_.tp.rank() * shape.heads();
  shape.heads_global = groups_ * queries_per_group_;
  return shape;
}

// Sequences whose pasts have one length go together.
void Attention::attend_cached(const Tensor& qkv, const AttentionShape& all, const Micro& micro,
                              const Tensor& out) const {
  const KvCache& cache = micro.caches->at(cache_index_);
  for (int64_t first = 0, count = 0; first < micro.sequences; first += count) {
    const int64_t past = micro.past(first);
    count = 1;
    while (first + count < micro.sequences && micro.past(first + count) == past) ++count;
    AttentionShape shape = all;
    shape.sequences = count;
    const int64_t begin = first * micro.length, rows = count * micro.length;
    const Tensor part = qkv.slice(begin, rows);
    if (frequencies_) context_.backend.rope(part, shape, frequencies_, past, 1);
    context_.backend.attention_cached(part, shape, past, cache.k.slice(first, count),
                                      cache.v.slice(first, count), out.slice(begin, rows));
  }
}

Tensor Attention::forward(const Tensor& x, Tape& tape) {
  const Micro& micro = tape.micro;
  const AttentionShape heads = shape(micro);
  const Tensor qkv = qkv_.forward(x);
  const int64_t rows = qkv.extent(0);
  const Tensor out = context_.empty({rows, heads.heads() * head_dim_});
  if (micro.caches) {
    attend_cached(qkv, heads, micro, out);
    return proj_.forward(out);
  }
  if (frequencies_) context_.backend.rope(qkv, heads, frequencies_, 0, 1);
  const Tensor lse = context_.backend.empty({heads.heads(), rows}, DType::f32);
  context_.backend.attention(qkv, heads, out, lse);
  tape.push(qkv);
  tape.push(out);
  tape.push(lse);
  return proj_.forward(out);
}

Tensor Attention::backward(const Tensor& dy, const Tensor& x, Tape& tape) {
  const Tensor lse = tape.pop(), out = tape.pop(), qkv = tape.pop();
  const Tensor dout = proj_.backward(dy, out, tape);
  const Tensor dqkv = context_.empty(qkv.shape());
  const AttentionShape heads = shape(tape.micro);
  context_.backend.attention_grad(dout, qkv, out, lse, heads, dqkv);
  if (frequencies_) context_.backend.rope(dqkv, heads, frequencies_, 0, -1);
  return qkv_.backward(dqkv, x, tape);
}

}  // namespace katman
