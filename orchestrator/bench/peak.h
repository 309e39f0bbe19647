// The yardstick of every utilisation that is printed.
#pragma once

#include "core/backend.h"

namespace katman {

// FLOP/s of a large square matrix product on this device, the best of a few within about
// `seconds`: what the machine gives to the easiest work of this type.
double measured_peak_flops(Backend& backend, DType dtype, int64_t size = 2048,
                           double seconds = 0.25);

// The fastest of as many runs of `product` as fit in `seconds`, after one to warm up.
double fastest_seconds(Backend& backend, const Gemm& product, double seconds);

}  // namespace katman
