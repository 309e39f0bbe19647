// Products and the sums over rows that belong to them.
#include "core/check.h"
#include "core/cuda/cuda.h"
#include "core/cuda/kernels/columns.h"
#include "core/cuda/with_type.h"

namespace katman {

void CudaBackend::gemm(const Gemm& g) { products_.run(g); }

void CudaBackend::bias_grad(const Tensor& dy, const Tensor& db) {
  const auto [rows, width] = check_rows("bias_grad", dy, {});
  require(db.elements() == width, "bias_grad: {} columns do not fit db {}", width,
          to_string(db.shape()));
  const Tensor scratch = empty({kernels::column_parts(rows), width}, DType::f32);
  with_type(dy, [&, count = rows, columns = width](const auto* data) {
    kernels::bias_grad(stream_, data, db.data<float>(), count, static_cast<int>(columns),
                       scratch.data<float>());
  });
}

}  // namespace katman
