#include "core/check.h"
#include "core/cuda/cuda.h"
#include "core/cuda/kernels/columns.h"
#include "core/cuda/kernels/norm.h"
#include "core/cuda/with_type.h"

namespace katman {

void CudaBackend::norm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                       const Tensor& beta, float epsilon, const Tensor& sum, const Tensor& y,
                       const Tensor& mean, const Tensor& rstd) {
  with_type(y, [&]<class T>(T* out) {
    kernels::NormForward<T> p = {};
    p.x = x.data<T>();
    p.residual = data_or_none<T>(residual);
    p.gamma = gamma.data<T>();
    p.beta = data_or_none<T>(beta);
    p.sum = residual ? sum.data<T>() : nullptr;
    p.y = out;
    p.mean = data_or_none<float>(mean);
    p.rstd = rstd.data<float>();
    p.epsilon = epsilon;
    p.rows = x.extent(0);
    p.width = static_cast<int>(x.extent(1));
    kernels::norm(stream_, p);
  });
}

void CudaBackend::norm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                            const Tensor& mean, const Tensor& rstd, const Tensor& dresidual,
                            const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
  const int64_t rows = x.extent(0), width = x.extent(1);
  const Tensor scratch = empty({kernels::column_parts(rows), 2, width}, DType::f32);
  with_type(x, [&]<class T>(const T* in) {
    // The parameters' gradients first: dx may be dy.
    kernels::norm_parameter_grad(stream_, static_cast<const T*>(dy.data<T>()), in,
                                 data_or_none<float>(mean), rstd.data<float>(),
                                 dgamma.data<float>(), data_or_none<float>(dbeta), rows,
                                 static_cast<int>(width), scratch.data<float>());
    kernels::NormBackward<T> p = {};
    p.dy = dy.data<T>();
    p.x = in;
    p.gamma = gamma.data<T>();
    p.mean = data_or_none<float>(mean);
    p.rstd = rstd.data<float>();
    p.dresidual = data_or_none<T>(dresidual);
    p.dx = dx.data<T>();
    p.rows = rows;
    p.width = static_cast<int>(width);
    kernels::norm_grad(stream_, p);
  });
}

void CudaBackend::layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                            const Tensor& beta, float epsilon, const Tensor& sum, const Tensor& y,
                            const Tensor& mean, const Tensor& rstd) {
  check_norm("layernorm", x, gamma, residual, sum, {y});
  norm(x, residual, gamma, beta, epsilon, sum, y, mean, rstd);
}

void CudaBackend::layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                                 const Tensor& mean, const Tensor& rstd, const Tensor& dresidual,
                                 const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
  check_norm("layernorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  norm_grad(dy, x, gamma, mean, rstd, dresidual, dx, dgamma, dbeta);
}

void CudaBackend::rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                          float epsilon, const Tensor& sum, const Tensor& y, const Tensor& rstd) {
  check_norm("rmsnorm", x, gamma, residual, sum, {y});
  norm(x, residual, gamma, {}, epsilon, sum, y, {}, rstd);
}

void CudaBackend::rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                               const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                               const Tensor& dgamma) {
  check_norm("rmsnorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  norm_grad(dy, x, gamma, {}, rstd, dresidual, dx, dgamma, {});
}

}  // namespace katman
