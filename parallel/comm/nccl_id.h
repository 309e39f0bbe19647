// The name under which ranks find each other, as a tensor of host memory.
#pragma once

#include <cstring>

#include "core/device_queue.h"
#include "parallel/comm/nccl_api.h"

namespace katman {

constexpr int64_t nccl_id_bytes = sizeof(ncclUniqueId);

inline Tensor host_bytes(int64_t bytes) {
  return Tensor(host_queue().staging().take(bytes), 0, {bytes}, DType::u8);
}

inline void write_new_id(const Tensor& to) {
  ncclUniqueId id;
  nccl_api().check(nccl_api().get_unique_id(&id), "naming a communicator");
  std::memcpy(to.raw(), &id, sizeof id);
}

inline ncclUniqueId read_id(const Tensor& from) {
  ncclUniqueId id;
  std::memcpy(&id, from.raw(), sizeof id);
  return id;
}

inline ncclDataType_t nccl_type(DType type) {
  switch (type) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
  }
  return ncclUint8;
}

}  // namespace katman
