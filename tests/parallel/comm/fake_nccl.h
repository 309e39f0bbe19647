// NCCL between threads with far devices: what our side asks of it, as strictly as the real one.
#pragma once

#include "parallel/comm/nccl_api.h"

namespace katman::testing {

// Streams are FarQueues. A send occupies its stream until its receive has come and the other way
// round, unless both are in one group; a communicator is made when all its ranks have come; an
// abort ends what waits.
NcclApi fake_nccl();

}  // namespace katman::testing
