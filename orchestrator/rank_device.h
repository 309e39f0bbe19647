// Which device a rank computes on, and whether its part of the run fits there.
#pragma once

#include <string>

#include "core/backend.h"
#include "parallel/comm/neighbours.h"
#include "parallel/plan/plan.h"

namespace katman {

// device.kind of one rank: "auto" is cuda where its machine has such a device, else cpu; "cuda" is
// cuda:N, dealt to the ranks of a machine in turn; anything else is itself.
std::string device_of_rank(const std::string& kind, const LocalPlace& place);

// What a rank may use of its device's memory ("cuda:1", "cpu"), which the ranks of its machine that
// share the device share evenly.
int64_t memory_for_rank(const std::string& device, const LocalPlace& place);

// `config`, unless this run's ranks need more memory than that (see require_fit), or its heads are
// larger than the device's attention takes.
TrainConfig fitting(const TrainConfig& config, const std::string& device, const LocalPlace& place);

// How fast products and everything else are, each measured for a moment.
DeviceSpeed measured_speed(Backend& backend, DType dtype);

}  // namespace katman
