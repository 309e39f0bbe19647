#include <cudnn_frontend.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <unordered_map>

#include "core/cuda/fused_attention.h"
#include "core/cuda/kernels/attention.h"

namespace katman {
namespace {

namespace fe = cudnn_frontend;
using TensorPtr = std::shared_ptr<fe::graph::Tensor_attributes>;
using Strides = std::vector<int64_t>;

// How graphs name their tensors.
enum Id : int64_t { q = 1, k, v, o, stats, d_o, d_q, d_k, d_v };

void cudnn_check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail("cannot {}: cuDNN says {}", what, cudnnGetErrorString(status));
}

struct Dims {
  int64_t sequences, length, heads, groups, head_dim, qkv_columns, queries_per_group;

  Strides queries() const {
    return strides(qkv_columns, queries_per_group == 1 ? 3 * head_dim : head_dim);
  }
  Strides keys() const {
    return strides(qkv_columns, 3 * head_dim);
  }  // one group, or one query each
  Strides outputs() const { return strides(heads * head_dim, head_dim); }

 private:
  Strides strides(int64_t token, int64_t head) const { return {length * token, head, token, 1}; }
};

Dims dims_of(const AttentionShape& s) {
  return {s.sequences, s.length,        s.heads(),          s.groups,
          s.head_dim,  s.qkv_columns(), s.queries_per_group};
}

TensorPtr add_tensor(fe::graph::Graph& graph, Id id, const Dims& d, int64_t heads,
                     Strides strides) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(id)
                          .set_dim({d.sequences, heads, d.length, d.head_dim})
                          .set_stride(std::move(strides)));
}
void make_output(const TensorPtr& t, Id id, const Dims& d, int64_t heads, Strides strides) {
  t->set_output(true)
      .set_uid(id)
      .set_dim({d.sequences, heads, d.length, d.head_dim})
      .set_stride(std::move(strides));
}
fe::graph::Tensor_attributes stats_of(const Dims& d) {
  return fe::graph::Tensor_attributes()
      .set_uid(stats)
      .set_dim({d.sequences, d.heads, d.length, 1})
      .set_stride({d.heads * d.length, d.length, 1, 1})
      .set_data_type(fe::DataType_t::FLOAT);
}

std::unique_ptr<fe::graph::Graph> new_graph() {
  auto graph = std::make_unique<fe::graph::Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  return graph;
}

std::unique_ptr<fe::graph::Graph> forward_graph(const Dims& d) {
  auto graph = new_graph();
  const auto queries = add_tensor(*graph, q, d, d.heads, d.queries());
  const auto keys = add_tensor(*graph, k, d, d.groups, d.keys());
  const auto values = add_tensor(*graph, v, d, d.groups, d.keys());
  auto options = fe::graph::SDPA_attributes()
                     .set_name("attention")
                     .set_generate_stats(true)
                     .set_attn_scale(1 / std::sqrt(static_cast<float>(d.head_dim)))
                     .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
                     .set_diagonal_band_right_bound(0);
  const auto [out, row_stats] = graph->sdpa(queries, keys, values, options);
  make_output(out, o, d, d.heads, d.outputs());
  const auto wanted = stats_of(d);
  row_stats->set_output(true)
      .set_uid(stats)
      .set_dim(wanted.get_dim())
      .set_stride(wanted.get_stride())
      .set_data_type(fe::DataType_t::FLOAT);
  return graph;
}

std::unique_ptr<fe::graph::Graph> backward_graph(const Dims& d, bool any_order) {
  auto graph = new_graph();
  const auto queries = add_tensor(*graph, q, d, d.heads, d.queries());
  const auto keys = add_tensor(*graph, k, d, d.groups, d.keys());
  const auto values = add_tensor(*graph, v, d, d.groups, d.keys());
  const auto out = add_tensor(*graph, o, d, d.heads, d.outputs());
  const auto gradient = add_tensor(*graph, d_o, d, d.heads, d.outputs());
  const auto row_stats = graph->tensor(stats_of(d));
  auto options = fe::graph::SDPA_backward_attributes()
                     .set_name("attention_grad")
                     .set_attn_scale(1 / std::sqrt(static_cast<float>(d.head_dim)))
                     .set_deterministic_algorithm(!any_order)
                     .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
                     .set_diagonal_band_right_bound(0);
  const auto [dq, dk, dv] =
      graph->sdpa_backward(queries, keys, values, out, gradient, row_stats, options);
  make_output(dq, d_q, d, d.heads, d.queries());
  make_output(dk, d_k, d, d.groups, d.keys());
  make_output(dv, d_v, d, d.groups, d.keys());
  return graph;
}

// The address of the first query, key or value in rows of qkv.
std::byte* part_of(const Tensor& qkv, const AttentionShape& s, int64_t vectors) {
  return qkv.raw() + vectors * s.head_dim * bytes_of(DType::bf16);
}

}  // namespace

struct FusedAttention::Plans {
  std::unique_ptr<fe::graph::Graph> forward, backward;  // both or none
};

FusedAttention::FusedAttention(Backend& backend, cudaStream_t stream)
    : backend_(backend), stream_(stream) {}
FusedAttention::~FusedAttention() {
  if (handle_) (void)cudnnDestroy(static_cast<cudnnHandle_t>(handle_));
}

// cuDNN takes its time and memory when there is something to attend to.
void* FusedAttention::handle() {
  if (handle_) return handle_;
  cudnnHandle_t handle = nullptr;
  cudnn_check(cudnnCreate(&handle), "start cuDNN");
  handle_ = handle;
  cudnn_check(cudnnSetStream(handle, stream_), "give cuDNN a stream");
  return handle_;
}

std::string FusedAttention::name() {
  const size_t version = cudnnGetVersion();
  return fmt::format("cuDNN {}.{}", version / 10000, version / 100 % 100);
}

void FusedAttention::allow_any_order(bool on) {
  if (on == any_order_) return;
  any_order_ = on;
  plans_.clear();
}

FusedAttention::Plans* FusedAttention::plans_for(const AttentionShape& s) {
  auto& plans = plans_[{s.sequences, s.length, s.groups, s.queries_per_group, s.head_dim}];
  if (plans) return plans.get();
  plans = std::make_unique<Plans>();
  auto* const handle = static_cast<cudnnHandle_t>(this->handle());
  const Dims dims = dims_of(s);
  auto forward = forward_graph(dims), backward = backward_graph(dims, any_order_);
  for (fe::graph::Graph* graph : {forward.get(), backward.get()}) {
    auto status = graph->build(handle, {fe::HeurMode_t::A});
    if (status.is_good()) continue;
    spdlog::warn(
        "cuDNN has no plan for attention of {} x {} tokens, {} heads of {} ({}): our own "
        "kernels compute it",
        s.sequences, s.length, s.heads(), s.head_dim, status.get_message());
    return plans.get();
  }
  plans->forward = std::move(forward);
  plans->backward = std::move(backward);
  return plans.get();
}

bool FusedAttention::takes(const Tensor& qkv, const AttentionShape& s) {
  const bool fits = qkv.dtype() == DType::bf16 && s.head_dim % 8 == 0 && s.head_dim <= 128 &&
                    (s.groups == 1 || s.queries_per_group == 1) && s.window == 0 &&
                    !s.document_start && s.dropout == 0 &&
                    reinterpret_cast<uintptr_t>(qkv.raw()) % 16 == 0;
  return fits && plans_for(s)->forward != nullptr;
}

namespace {

using Pointers = std::unordered_map<int64_t, void*>;

void run(const fe::graph::Graph& graph, void* handle, Backend& backend, Pointers pointers) {
  int64_t bytes = 0;
  auto sized = graph.get_workspace_size(bytes);
  require(sized.is_good(), "cuDNN cannot say how much memory attention needs: {}",
          sized.get_message());
  const Tensor workspace = bytes > 0 ? backend.empty({bytes}, DType::u8) : Tensor();
  auto done = graph.execute(static_cast<cudnnHandle_t>(handle), pointers, workspace.raw());
  require(done.is_good(), "cuDNN cannot run attention: {}", done.get_message());
}

void add_inputs(Pointers& pointers, const Tensor& qkv, const AttentionShape& s) {
  pointers[q] = part_of(qkv, s, 0);
  pointers[k] = part_of(qkv, s, s.queries_per_group);
  pointers[v] = part_of(qkv, s, s.queries_per_group + 1);
}

}  // namespace

// cuDNN's statistics are [sequences, heads, length], ours [heads, sequences, length].
void FusedAttention::forward(const Tensor& qkv, const AttentionShape& s, const Tensor& out,
                             const Tensor& lse) {
  const Tensor by_sequence = s.sequences > 1 ? backend_.empty(lse.shape(), DType::f32) : lse;
  Pointers pointers = {{o, out.raw()}, {stats, by_sequence.raw()}};
  add_inputs(pointers, qkv, s);
  run(*plans_for(s)->forward, handle(), backend_, std::move(pointers));
  if (s.sequences > 1)
    kernels::swap_outer(stream_, by_sequence.data<float>(), lse.data<float>(), s.sequences,
                        s.heads(), s.length);
}

void FusedAttention::backward(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                              const Tensor& lse, const AttentionShape& s, const Tensor& dqkv) {
  Tensor by_sequence = lse;
  if (s.sequences > 1) {
    by_sequence = backend_.empty(lse.shape(), DType::f32);
    kernels::swap_outer(stream_, lse.data<float>(), by_sequence.data<float>(), s.heads(),
                        s.sequences, s.length);
  }
  Pointers pointers = {{o, out.raw()}, {stats, by_sequence.raw()}, {d_o, dout.raw()}};
  add_inputs(pointers, qkv, s);
  pointers[d_q] = part_of(dqkv, s, 0);
  pointers[d_k] = part_of(dqkv, s, s.queries_per_group);
  pointers[d_v] = part_of(dqkv, s, s.queries_per_group + 1);
  run(*plans_for(s)->backward, handle(), backend_, std::move(pointers));
}

}  // namespace katman
