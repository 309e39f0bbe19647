// The yardstick of every utilisation that is printed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/backend.h"

namespace katman {

// The shortest time of what this enqueues, of several in a row so that starting them costs nothing,
// within about `seconds`.
double fastest_seconds(Backend& backend, const std::function<void()>& enqueue, double seconds);

// FLOP/s of a large square matrix product on this device, the best of a few within about
// `seconds`: what the machine gives to the easiest work of this type.
double measured_peak_flops(Backend& backend, DType dtype, int64_t size = 2048,
                           double seconds = 0.25);

// The extent of that product on the device of this name where `wanted` was asked for: a serial one
// would take minutes for more than 256.
int64_t peak_size_on(const std::string& device_name, int64_t wanted);

// What its maker promises of dense bf16 products on the device of this name, in FLOP/s; 0 for a
// device that is not known here.
double nominal_peak_flops(const std::string& device_name);

}  // namespace katman
