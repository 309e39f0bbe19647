#include "parallel/comm/nccl_api.h"

#include <dlfcn.h>

#include <mutex>
#include <optional>

#include "core/error.h"
#include "parallel/comm/nccl.h"

namespace katman {
namespace {

NcclApi load() {
  void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("NCCL cannot be loaded: {}", dlerror());
  NcclApi api;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    require(function != nullptr, "this NCCL has no {}: install version 2.12 or later", name);
  };
  find(api.get_version, "ncclGetVersion");
  find(api.error_string, "ncclGetErrorString");
  find(api.get_unique_id, "ncclGetUniqueId");
  find(api.init_rank, "ncclCommInitRank");
  find(api.destroy, "ncclCommDestroy");
  find(api.abort, "ncclCommAbort");
  find(api.async_error, "ncclCommGetAsyncError");
  find(api.group_start, "ncclGroupStart");
  find(api.group_end, "ncclGroupEnd");
  find(api.send, "ncclSend");
  find(api.recv, "ncclRecv");
  find(api.all_gather, "ncclAllGather");
  return api;
}

}  // namespace

void NcclApi::check(ncclResult_t code, const std::string& what) const {
  if (code != ncclSuccess) fail("{}: NCCL says: {}", what, error_string(code));
}

namespace {
std::optional<NcclApi> in_use;
std::mutex loading;
}  // namespace

const NcclApi& nccl_api() {
  const std::lock_guard lock(loading);
  if (!in_use) in_use = load();
  return *in_use;
}

void use_nccl(const NcclApi& api) {
  const std::lock_guard lock(loading);
  in_use = api;
}

std::string why_no_nccl() try {
  nccl_api();
  return {};
} catch (const Error& error) {
  return error.what();
}

std::string nccl_version() {
  int code = 0;
  nccl_api().check(nccl_api().get_version(&code), "asking for the version");
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

}  // namespace katman
