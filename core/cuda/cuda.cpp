#include "core/cuda/cuda.h"

#include "core/check.h"
#include "core/cuda/check.h"
#include "core/cuda/kernels/elementwise.h"
#include "core/cuda/with_type.h"

namespace katman {

CudaBackend::CudaBackend(int device)
    : device_(CudaDevice::open(device)),
      pool_(make_device_pool(device_)),
      products_(*this, device_, stream_),
      fused_(*this, stream_) {}

CudaBackend::~CudaBackend() { (void)cudaStreamSynchronize(stream_); }

std::string CudaBackend::name() const {
  const std::string fused = FusedAttention::name();
  return fmt::format("cuda:{} ({}, sm_{}{}, {:.0f} GB, attention by {})", device_.number,
                     device_.name, device_.major, device_.minor,
                     static_cast<double>(device_.memory_bytes) / 1e9,
                     fused.empty() ? "own kernels" : fused);
}

void CudaBackend::copy(const Tensor& from, const Tensor& to) {
  require(from.shape() == to.shape() && from.dtype() == to.dtype(),
          "copy wants one shape and type, not {} {} to {} {}", name_of(from.dtype()),
          to_string(from.shape()), name_of(to.dtype()), to_string(to.shape()));
  cuda_check(cudaMemcpyAsync(to.raw(), from.raw(), static_cast<size_t>(from.bytes()),
                             cudaMemcpyDeviceToDevice, stream_),
             "copy on the device");
}

void CudaBackend::fill_zero(const Tensor& t) {
  cuda_check(cudaMemsetAsync(t.raw(), 0, static_cast<size_t>(t.bytes()), stream_),
             "fill device memory");
}

void CudaBackend::upload(const void* host, const Tensor& to) {
  staging_.upload(host, to.raw(), to.bytes(), stream_);
}

void CudaBackend::download(const Tensor& from, void* host) {
  staging_.download(from.raw(), host, from.bytes(), stream_);
}

void CudaBackend::sync() { stream_.sync(); }

void CudaBackend::cast(const Tensor& x, const Tensor& y) {
  check_same_elements("cast", x, y);
  with_type(x, [&](const auto* from) {
    with_type(y, [&](auto* to) { kernels::cast(stream_, from, to, x.elements()); });
  });
}

void CudaBackend::add(const Tensor& x, const Tensor& y, const Tensor& out) {
  check_same_elements("add", x, y);
  check_same_elements("add", x, out);
  with_type(out, [&]<class T>(T* to) {
    kernels::add<T>(stream_, x.data<T>(), y.data<T>(), to, x.elements());
  });
}

void CudaBackend::scale(const Tensor& x, float factor) {
  with_type(x, [&](auto* data) { kernels::scale(stream_, data, factor, x.elements()); });
}

void CudaBackend::gelu(const Tensor& x, const Tensor& y) {
  check_same_elements("gelu", x, y);
  with_type(y, [&]<class T>(T* to) { kernels::gelu<T>(stream_, x.data<T>(), to, x.elements()); });
}

void CudaBackend::gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  check_same_elements("gelu_grad", dy, x);
  check_same_elements("gelu_grad", dy, dx);
  with_type(dx, [&]<class T>(T* to) {
    kernels::gelu_grad<T>(stream_, dy.data<T>(), x.data<T>(), to, x.elements());
  });
}

void CudaBackend::swiglu(const Tensor& x, const Tensor& y) {
  const auto [rows, width] = check_rows("swiglu", y, {});
  check_swiglu(x, y);
  with_type(y, [&, count = rows, columns = width]<class T>(T* to) {
    kernels::swiglu<T>(stream_, x.data<T>(), to, count, columns);
  });
}

void CudaBackend::swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  const auto [rows, width] = check_rows("swiglu_grad", dy, {});
  check_swiglu(x, dy);
  check_rows("swiglu_grad", x, {dx});
  with_type(dx, [&, count = rows, columns = width]<class T>(T* to) {
    kernels::swiglu_grad<T>(stream_, dy.data<T>(), x.data<T>(), to, count, columns);
  });
}

void CudaBackend::dropout(const Tensor& x, float p, Key key, int64_t row_begin,
                          int64_t column_begin, int64_t columns_global) {
  const auto [rows, width] = check_rows("dropout", x, {});
  const auto first = static_cast<uint64_t>(row_begin * columns_global + column_begin);
  with_type(x, [&, count = rows, columns = width](auto* data) {
    kernels::dropout(stream_, data, p, key, first, columns_global, count, columns);
  });
}

}  // namespace katman
