// How a table is put together: one function per file of kernels, for each instruction set.
#pragma once

#include "core/cpu/kernels/kernels.h"

namespace katman::KATMAN_ISA {

void add_elementwise(CpuKernels& table);
void add_norms(CpuKernels& table);
void add_ends(CpuKernels& table);
void add_optimizer(CpuKernels& table);
void add_attention(CpuKernels& table);
void add_attention_grad(CpuKernels& table);
void add_attention_cached(CpuKernels& table);
void add_few_rows(CpuKernels& table);

}  // namespace katman::KATMAN_ISA
