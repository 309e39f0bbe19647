#include <cuda_runtime.h>
#include <dlfcn.h>

#include <string>

#include "core/cuda/cupti/api.h"
#include "core/error.h"

namespace katman {
namespace {

// By name where the loader looks, else where the toolkit's installer puts it.
void* open_library() {
  const std::string name = fmt::format("libcupti.so.{}", CUDART_VERSION / 1000);
  if (void* found = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return found;
  const std::string why = dlerror();
  if (void* found =
          dlopen(("/usr/local/cuda/extras/CUPTI/lib64/" + name).c_str(), RTLD_NOW | RTLD_LOCAL))
    return found;
  fail(
      "cannot trace the device: {}; CUPTI comes with CUDA's toolkit and with PyTorch: add its "
      "directory to LD_LIBRARY_PATH",
      why);
}

CuptiApi load() {
  void* library = open_library();
  CuptiApi api;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    require(function != nullptr, "this CUPTI has no {}: it belongs to another version of CUDA",
            name);
  };
  find(api.register_callbacks, "cuptiActivityRegisterCallbacks");
  find(api.enable, "cuptiActivityEnable");
  find(api.disable, "cuptiActivityDisable");
  find(api.flush_all, "cuptiActivityFlushAll");
  find(api.next_record, "cuptiActivityGetNextRecord");
  find(api.dropped_records, "cuptiActivityGetNumDroppedRecords");
  find(api.result_string, "cuptiGetResultString");
  return api;
}

}  // namespace

const CuptiApi& cupti_api() {
  static const CuptiApi api = load();
  return api;
}

}  // namespace katman
