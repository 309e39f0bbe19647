#include "core/cpu/kernels/families.h"

namespace katman::KATMAN_ISA {

CpuKernels make_table() {
  CpuKernels table = {};
  table.name = KATMAN_ISA_NAME;
  add_elementwise(table);
  add_norms(table);
  add_ends(table);
  add_optimizer(table);
  add_attention(table);
  add_attention_grad(table);
  add_attention_cached(table);
  add_few_rows(table);
  return table;
}

}  // namespace katman::KATMAN_ISA
