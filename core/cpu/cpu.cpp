#include "core/cpu/cpu.h"

#include <omp.h>

#include "core/check.h"
#include "core/cpu/fp8.h"
#include "core/cpu/parallel.h"
#include "core/log.h"

namespace katman {
namespace {

constexpr int64_t grain = 1 << 14;  // elements below which another thread does not pay

const std::byte* at(const Tensor& t, int64_t element) {
  return t.raw() + element * bytes_of(t.dtype());
}
std::byte* to(const Tensor& t, int64_t element) { return t.raw() + element * bytes_of(t.dtype()); }
const std::byte* at_or_none(const Tensor& t, int64_t element) {
  return t ? at(t, element) : nullptr;
}

// How many threads OpenMP gives to a team that wants so many: OMP_THREAD_LIMIT may allow fewer. A
// product of oneDNN that is computed by fewer threads than it was made for is wrong.
int granted(int wanted) {
  omp_set_dynamic(0);  // a team has the same size every time
  int size = 1;
#pragma omp parallel num_threads(wanted)
#pragma omp single
  size = omp_get_num_threads();
  if (size < wanted)
    spdlog::warn("{} of {} threads are used: OpenMP gives no more (OMP_THREAD_LIMIT)", size,
                 wanted);
  return size;
}

}  // namespace

CpuBackend::CpuBackend(int threads)
    : threads_(granted(threads > 0 ? threads : omp_get_num_procs())), products_(pool(), threads_) {}

std::string CpuBackend::name() const {
  return fmt::format("cpu (oneDNN with {}, kernels for {}, {} {})", Products::instruction_set(),
                     kernels_.name, threads_, threads_ == 1 ? "thread" : "threads");
}

void CpuBackend::cast(const Tensor& x, const Tensor& y) {
  check_same_elements("cast", x, y);
  parallel_ranges(threads_, x.elements(), grain, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (x.dtype() == DType::f32)
      kernels(y).from_f32(x.data<float>() + begin, to(y, begin), n);
    else if (y.dtype() == DType::f32)
      kernels(x).to_f32(at(x, begin), y.data<float>() + begin, n);
    else
      std::copy_n(x.data<bf16>() + begin, n, y.data<bf16>() + begin);
  });
}

void CpuBackend::gemm(const Gemm& g) {
  check_gemm(g);
  if (g.bias_grad) {
    Gemm product = g;
    product.bias_grad = {};
    gemm(product);
    return bias_grad(g.a, g.bias_grad);
  }
  if (g.a_fp8 != Fp8::none) {
    Gemm rounded = g;
    rounded.a = rounded_to_fp8(*this, g.a, g.a_fp8, threads_);
    rounded.b = rounded_to_fp8(*this, g.b, g.b_fp8, threads_);
    rounded.a_fp8 = rounded.b_fp8 = Fp8::none;
    rounded.b_is_weight = false;  // a copy that goes at once
    return gemm(rounded);
  }
  if (g.epilogue == Gemm::Epilogue::bias_gelu) {
    Gemm before = g;
    before.c = g.aux;
    products_.run(before);
    return gelu(g.aux, g.c);
  }
  products_.run(g);
  if (g.epilogue == Gemm::Epilogue::gelu_grad) gelu_grad(g.c, g.aux, g.c);
}

template <class Work>
void CpuBackend::sum_over_rows(int64_t rows, int64_t width, std::initializer_list<Tensor> sums,
                               Work work) {
  constexpr int64_t most_blocks = 32;
  const auto parts = static_cast<int64_t>(sums.size());
  const int64_t blocks = std::clamp<int64_t>(rows / 16, 1, most_blocks);
  const Tensor partial = zeros({blocks, parts * width}, DType::f32);
  parallel_ranges(threads_, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      work(rows * block / blocks, rows * (block + 1) / blocks,
           partial.data<float>() + block * parts * width);
  });
  int64_t part = 0;
  for (const Tensor& sum : sums) {
    for (int64_t block = 0; block < blocks && sum; ++block)
      kernels_.typed[0].add_to_f32(partial.data<float>() + (block * parts + part) * width,
                                   sum.data<float>(), width);
    ++part;
  }
}

void CpuBackend::bias_grad(const Tensor& dy, const Tensor& db) {
  const auto [rows, width] = check_rows("bias_grad", dy, {});
  require(db.elements() == width, "bias_grad: {} columns do not fit db {}", width,
          to_string(db.shape()));
  const int64_t columns = width;
  sum_over_rows(rows, width, {db}, [&](int64_t begin, int64_t end, float* sums) {
    kernels(dy).column_sums(at(dy, begin * columns), sums, end - begin, columns);
  });
}

void CpuBackend::norm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, float epsilon, const Tensor& sum, const Tensor& y,
                      const Tensor& mean, const Tensor& rstd) {
  const int64_t rows = x.extent(0), width = x.extent(1);
  parallel_ranges(threads_, rows, grain / width + 1, [&](int64_t begin, int64_t end) {
    kernels(x).norm(at(x, begin * width), at_or_none(residual, begin * width), gamma.raw(),
                    at_or_none(beta, 0), epsilon, residual ? to(sum, begin * width) : nullptr,
                    to(y, begin * width), mean ? mean.data<float>() + begin : nullptr,
                    rstd.data<float>() + begin, end - begin, width);
  });
}

void CpuBackend::norm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                           const Tensor& mean, const Tensor& rstd, const Tensor& dresidual,
                           const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
  const int64_t width = x.extent(1);
  sum_over_rows(x.extent(0), width, {dgamma, dbeta}, [&](int64_t begin, int64_t end, float* sums) {
    const int64_t first = begin * width;
    kernels(x).norm_grad(at(dy, first), at(x, first), gamma.raw(),
                         mean ? mean.data<float>() + begin : nullptr, rstd.data<float>() + begin,
                         at_or_none(dresidual, first), to(dx, first), sums,
                         dbeta ? sums + width : nullptr, end - begin, width);
  });
}

void CpuBackend::layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                           const Tensor& beta, float epsilon, const Tensor& sum, const Tensor& y,
                           const Tensor& mean, const Tensor& rstd) {
  check_norm("layernorm", x, gamma, residual, sum, {y});
  norm(x, residual, gamma, beta, epsilon, sum, y, mean, rstd);
}

void CpuBackend::layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                                const Tensor& mean, const Tensor& rstd, const Tensor& dresidual,
                                const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
  check_norm("layernorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  norm_grad(dy, x, gamma, mean, rstd, dresidual, dx, dgamma, dbeta);
}

void CpuBackend::rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                         float epsilon, const Tensor& sum, const Tensor& y, const Tensor& rstd) {
  check_norm("rmsnorm", x, gamma, residual, sum, {y});
  norm(x, residual, gamma, {}, epsilon, sum, y, {}, rstd);
}

void CpuBackend::rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                              const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                              const Tensor& dgamma) {
  check_norm("rmsnorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  norm_grad(dy, x, gamma, {}, rstd, dresidual, dx, dgamma, {});
}

void CpuBackend::add(const Tensor& x, const Tensor& y, const Tensor& out) {
  check_same_elements("add", x, y);
  check_same_elements("add", x, out);
  parallel_ranges(threads_, x.elements(), grain, [&](int64_t begin, int64_t end) {
    kernels(x).add(at(x, begin), at(y, begin), to(out, begin), end - begin);
  });
}

void CpuBackend::scale(const Tensor& x, float factor) {
  parallel_ranges(threads_, x.elements(), grain, [&](int64_t begin, int64_t end) {
    kernels(x).scale(to(x, begin), factor, end - begin);
  });
}

void CpuBackend::gelu(const Tensor& x, const Tensor& y) {
  check_same_elements("gelu", x, y);
  parallel_ranges(threads_, x.elements(), grain, [&](int64_t begin, int64_t end) {
    kernels(x).gelu(at(x, begin), to(y, begin), end - begin);
  });
}

void CpuBackend::gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  check_same_elements("gelu_grad", dy, x);
  check_same_elements("gelu_grad", dy, dx);
  parallel_ranges(threads_, x.elements(), grain, [&](int64_t begin, int64_t end) {
    kernels(x).gelu_grad(at(dy, begin), at(x, begin), to(dx, begin), end - begin);
  });
}

void CpuBackend::swiglu(const Tensor& x, const Tensor& y) {
  const auto [rows, width] = check_rows("swiglu", y, {});
  check_swiglu(x, y);
  const int64_t f = width;
  parallel_ranges(threads_, rows, grain / f + 1, [&](int64_t begin, int64_t end) {
    kernels(x).swiglu(at(x, 2 * begin * f), to(y, begin * f), end - begin, f);
  });
}

void CpuBackend::swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  const auto [rows, width] = check_rows("swiglu_grad", dy, {});
  check_swiglu(x, dy);
  check_rows("swiglu_grad", x, {dx});
  const int64_t f = width;
  parallel_ranges(threads_, rows, grain / f + 1, [&](int64_t begin, int64_t end) {
    kernels(x).swiglu_grad(at(dy, begin * f), at(x, 2 * begin * f), to(dx, 2 * begin * f),
                           end - begin, f);
  });
}

}  // namespace katman
