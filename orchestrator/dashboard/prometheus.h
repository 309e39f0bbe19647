// The runs as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/
#pragma once

#include <string>

#include "proto/control.pb.h"

namespace katman {

std::string prometheus_text(const RunList& list);

}  // namespace katman
