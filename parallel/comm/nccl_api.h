// The functions of NCCL, found when they are needed: the program starts without the library.
#pragma once

#include <nccl.h>

#include <string>

namespace katman {

struct NcclApi {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRank) init_rank = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclCommGetAsyncError) async_error = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) recv = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;

  // Throws Error with NCCL's own words unless `code` is success.
  void check(ncclResult_t code, const std::string& what) const;
};

// Loaded once per process. Throws Error when there is none.
const NcclApi& nccl_api();
// Takes these functions instead of a library's, from now on: for tests without GPUs.
void use_nccl(const NcclApi& api);

}  // namespace katman
