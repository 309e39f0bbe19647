#include "core/cpu/products.h"

#include <omp.h>

#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/cpu/few_rows.h"
#include "core/cpu/kernels/kernels.h"
#include "core/cpu/parallel.h"

namespace katman {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

memory::data_type type_of(DType dtype) {
  return dtype == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

bool has_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_amx:
      return true;
    default:
      return false;
  }
}

bool has_bias(const Gemm& g) {
  return g.epilogue == Gemm::Epilogue::bias || g.epilogue == Gemm::Epilogue::bias_gelu;
}

// Everything that a primitive is made for.
using Signature = std::array<int64_t, 9>;

// A product ready to run: C [m, n] = A [m, k] B [k, n].
struct Product {
  dnnl::matmul primitive;
  memory::desc a, b, c, bias, packed_b, scratchpad;
};

}  // namespace

struct Products::Parts {
  Parts(Pool& memory, int team) : pool(memory), threads(team) {}

  Pool& pool;
  int threads;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Signature, Product> products;
  // Weights in a layout that a product asked for; products of many shapes share few.
  struct Packed {
    memory::desc from, to;  // `from` too: a square matrix and its transpose are packed alike
    Tensor copy;
  };
  std::map<const void*, std::vector<Packed>> packed;
  const bool native_bf16 = has_bf16();

  Tensor bytes(int64_t count) {
    return Tensor(pool.take(std::max<int64_t>(count, 1)), 0, {std::max<int64_t>(count, 1)},
                  DType::u8);
  }
  Tensor floats(const Shape& shape) {
    return Tensor(pool.take(4 * shape.elements()), 0, shape, DType::f32);
  }

  const Product& product(const Gemm& g, const GemmSize& size);
  Product make(const Gemm& g, const GemmSize& size) const;
  const void* pack(const Gemm& g, const Product& product);
  void multiply(const Gemm& g);
  void multiply_widened(const Gemm& g);
  Tensor widened(const Tensor& t);
};

Products::Products(Pool& pool, int threads) : parts_(std::make_unique<Parts>(pool, threads)) {}
Products::~Products() = default;

const char* Products::instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_amx:
      return "AMX bf16";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX-512 bf16";
    case dnnl::cpu_isa::avx512_core:
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX-512";
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2";
    default:
      return "SSE";
  }
}

Product Products::Parts::make(const Gemm& g, const GemmSize& size) const {
  const auto in = type_of(g.a.dtype());
  const memory::desc a({size.m, size.k}, in, g.a_transposed ? Tag::ba : Tag::ab);
  const memory::desc b({size.k, size.n}, in, g.b_transposed ? Tag::ba : Tag::ab);
  const memory::desc c({size.m, size.n}, type_of(g.c.dtype()), Tag::ab);
  const memory::desc bias = has_bias(g) ? memory::desc({1, size.n}, in, Tag::ab) : memory::desc();
  const memory::desc asked_b = g.b_is_weight ? memory::desc({size.k, size.n}, in, Tag::any) : b;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (g.accumulate) {
    dnnl::post_ops post;
    post.append_sum(1.0f);
    attributes.set_post_ops(post);
  }
  const auto description =
      has_bias(g) ? dnnl::matmul::desc(a, asked_b, bias, c) : dnnl::matmul::desc(a, asked_b, c);
  const dnnl::matmul::primitive_desc made(description, attributes, engine);
  return {dnnl::matmul(made), a, b, c, bias, made.weights_desc(), made.scratchpad_desc()};
}

const Product& Products::Parts::product(const Gemm& g, const GemmSize& size) {
  const Signature signature = {size.m,
                               size.n,
                               size.k,
                               static_cast<int64_t>(g.a.dtype()),
                               static_cast<int64_t>(g.c.dtype()),
                               2 * g.a_transposed + g.b_transposed,
                               g.accumulate,
                               g.b_is_weight,
                               has_bias(g)};
  const auto found = products.find(signature);
  return found != products.end() ? found->second
                                 : products.emplace(signature, make(g, size)).first->second;
}

// The weights in the layout that the product asks for.
const void* Products::Parts::pack(const Gemm& g, const Product& product) {
  if (!g.b_is_weight || product.packed_b == product.b) return g.b.raw();
  std::vector<Packed>& copies = packed[g.b.raw()];
  for (const Packed& made : copies)
    if (made.from == product.b && made.to == product.packed_b) return made.copy.raw();
  const Tensor copy = bytes(static_cast<int64_t>(product.packed_b.get_size()));
  memory from(product.b, engine, g.b.raw()), to(product.packed_b, engine, copy.raw());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
  copies.push_back({product.b, product.packed_b, copy});
  return copy.raw();
}

void Products::Parts::multiply(const Gemm& g) {
  const GemmSize size = check_gemm(g);
  if (size.m == 0 || size.n == 0) return;
  // Of the calling thread only: other backends have their own.
  omp_set_num_threads(threads);
  omp_set_dynamic(0);
  const Product& made = product(g, size);
  const auto bound = [&](const memory::desc& desc, const void* data) {
    return memory(desc, engine, const_cast<void*>(data));
  };
  const Tensor scratch = bytes(static_cast<int64_t>(made.scratchpad.get_size()));
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, bound(made.a, g.a.raw())},
      {DNNL_ARG_WEIGHTS, bound(made.packed_b, pack(g, made))},
      {DNNL_ARG_DST, bound(made.c, g.c.raw())},
      {DNNL_ARG_SCRATCHPAD, bound(made.scratchpad, scratch.raw())}};
  if (has_bias(g)) arguments.emplace(DNNL_ARG_BIAS, bound(made.bias, g.bias.raw()));
  made.primitive.execute(stream, arguments);
  stream.wait();
}

Tensor Products::Parts::widened(const Tensor& t) {
  const Tensor wide = floats(t.shape());
  float* to = wide.data<float>();
  const bf16* from = t.data<bf16>();
  parallel_ranges(threads, t.elements(), 1 << 14, [&](int64_t begin, int64_t end) {
    cpu_kernels().typed[1].to_f32(from + begin, to + begin, end - begin);
  });
  return wide;
}

void Products::Parts::multiply_widened(const Gemm& g) {
  Gemm wide = g;
  wide.a = widened(g.a);
  wide.b = widened(g.b);
  wide.b_is_weight = false;  // a copy that goes at once
  if (has_bias(g)) wide.bias = widened(g.bias);
  if (g.c.dtype() == DType::bf16) wide.c = floats(g.c.shape());
  wide.epilogue = has_bias(g) ? Gemm::Epilogue::bias : Gemm::Epilogue::none;
  multiply(wide);
  if (g.c.dtype() != DType::bf16) return;
  const auto* from = wide.c.data<float>();
  auto* to = g.c.data<bf16>();
  parallel_ranges(threads, g.c.elements(), 1 << 14, [&](int64_t begin, int64_t end) {
    cpu_kernels().typed[1].from_f32(from + begin, to + begin, end - begin);
  });
}

void Products::run(const Gemm& g) {
  const GemmSize size = check_gemm(g);
  if (is_few_rows(g, size))
    return multiply_few_rows(g, size, has_bias(g), parts_->pool, parts_->threads);
  const bool widen = g.a && g.a.dtype() == DType::bf16 && !parts_->native_bf16;
  try {
    if (widen)
      parts_->multiply_widened(g);
    else
      parts_->multiply(g);
  } catch (const dnnl::error& error) {
    fail("oneDNN cannot multiply {} by {}: {}", to_string(g.a.shape()), to_string(g.b.shape()),
         error.what());
  }
}

void Products::weights_changed() { parts_->packed.clear(); }

}  // namespace katman
