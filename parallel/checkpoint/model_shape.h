// The shape of a model as checkpoints keep it.
#pragma once

#include "core/model/config.h"
#include "proto/checkpoint.pb.h"

namespace katman {

// Complete both ways: to_config(to_shape(config)) is config, with the defaults it leaves to others
// written out.
ModelShape to_shape(const GptConfig& config);
GptConfig to_config(const ModelShape& shape);

}  // namespace katman
