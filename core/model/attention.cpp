#include "core/model/attention.h"

namespace katman {

Attention::Attention(const ModelContext& context, Params& params, const std::string& name,
                     const GptConfig& config, int64_t cache_index)
    : context_(context),
      qkv_(context, params, name + ".qkv", config.hidden, 3 * config.hidden, config.weight_init()),
      proj_(context, params, name + ".proj", config.hidden, config.hidden, config.residual_init()),
      heads_(config.heads),
      head_dim_(config.head_dim()),
      dropout_(config.dropout),
      dropout_key_(context.seed.at("dropout").at(name + ".probabilities")),
      cache_index_(static_cast<size_t>(cache_index)) {}

AttentionShape Attention::shape(const Micro& micro) const {
  AttentionShape shape;
  shape.sequences = micro.sequences;
  shape.length = micro.length;
  shape.groups = heads_ / context_.tp.size();
  shape.head_dim = head_dim_;
  shape.document_start = micro.document_start;
  shape.dropout = micro.training ? dropout_ : 0;
  shape.dropout_key = dropout_key_;
  shape.sequence_begin = micro.first_sequence;
  shape.head_begin = context_.tp.rank() * shape.groups;
  shape.heads_global = heads_;
  return shape;
}

Tensor Attention::forward(const Tensor& x, Tape& tape) {
  const Micro& micro = tape.micro;
  const AttentionShape heads = shape(micro);
  const Tensor qkv = qkv_.forward(x);
  const int64_t rows = qkv.extent(0);
  const Tensor out = context_.empty({rows, heads.heads() * head_dim_});
  if (micro.caches) {
    const KvCache& cache = micro.caches->at(cache_index_);
    context_.backend.attention_cached(qkv, heads, micro.past, cache.k, cache.v, out);
    return proj_.forward(out);
  }
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
  context_.backend.attention_grad(dout, qkv, out, lse, shape(tape.micro), dqkv);
  return qkv_.backward(dqkv, x, tape);
}

}  // namespace katman
