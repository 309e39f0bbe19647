#include "orchestrator/doctor/gpu.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <optional>

#include "core/cuda_library.h"
#include "core/error.h"
#include "parallel/comm/nccl.h"

namespace katman {
namespace {

using State = Finding::State;

// 13000 as "13.0".
std::string cuda_version(int code) { return fmt::format("{}.{}", code / 1000, code % 1000 / 10); }

// A function of a library that may not be there.
template <class Function>
Function* find_function(const char* library, const char* name) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  return handle ? reinterpret_cast<Function*>(dlsym(handle, name)) : nullptr;
}

std::optional<int> driver_version() {
  const auto ask = find_function<int(int*)>("libcuda.so.1", "cuDriverGetVersion");
  int code = 0;
  if (!ask || ask(&code) != 0) return {};
  return code;
}

Finding driver() {
  if (const auto code = driver_version())
    return {State::ok, "NVIDIA driver", "for CUDA up to " + cuda_version(*code), ""};
  return {State::absent, "NVIDIA driver", "none: libcuda.so.1 cannot be loaded",
          "for a GPU, install NVIDIA's driver; in a container, start it with --gpus all"};
}

Finding library() try {
  const CudaLibrary found = CudaLibrary::beside_me();
  return {State::ok, "CUDA library",
          found.file().filename().string() + ", made with CUDA " +
              cuda_version(found.runtime_version()),
          ""};
} catch (const Error& error) {
  const std::string why = error.what();
  return {State::absent, "CUDA library", why,
          why.starts_with("cannot load")
              ? "CUDA's libraries come with its toolkit, and with PyTorch"
              : "for a GPU, use a build or a bundle that was made where the CUDA toolkit is "
                "installed"};
}

Finding devices() try {
  const CudaLibrary found = CudaLibrary::beside_me();
  const int count = found.devices();
  std::string list;
  for (int number = 0; number < count; ++number) {
    const CudaDeviceInfo info = found.describe(number);
    list += fmt::format("{}cuda:{} {} (compute capability {}.{}, {:.0f} GB, {:.0f} free)",
                        number ? "; " : "", number, info.name, info.major, info.minor,
                        static_cast<double>(info.memory_bytes) * 1e-9,
                        static_cast<double>(info.free_bytes) * 1e-9);
  }
  if (count > 0) return {State::ok, "CUDA devices", list, ""};
  return {State::absent, "CUDA devices", "none", "look at nvidia-smi and CUDA_VISIBLE_DEVICES"};
} catch (const Error& error) {
  return {State::absent, "CUDA devices", error.what(), "training goes on the CPU meanwhile"};
}

Finding nccl() {
  const std::string objection = why_no_nccl();
  if (objection.empty()) return {State::ok, "NCCL", nccl_version(), ""};
  return {State::absent, "NCCL", objection,
          "for several GPUs, install libnccl2 or add its directory to LD_LIBRARY_PATH; without it "
          "ranks exchange tensors through host memory"};
}

// Why the library with cuDNN, which is there, cannot be loaded; nothing where it is not there or
// can.
std::string why_no_cudnn_library() {
  if (!CudaLibrary::is_beside_me(CudaLibrary::with_cudnn)) return {};
  try {
    CudaLibrary::beside_me(CudaLibrary::with_cudnn);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

// What the CUDA library attends with; nothing where it cannot be loaded.
std::string fused_attention() try {
  return CudaLibrary::beside_me().fused_attention();
} catch (const Error&) {
  return {};
}

Finding cudnn() {
  if (const std::string used = fused_attention(); !used.empty())
    return {State::ok, "cuDNN", used + " computes attention where it can", ""};
  if (const std::string why = why_no_cudnn_library(); !why.empty())
    return {State::absent, "cuDNN", why, "attention on a GPU is fastest with it"};
  if (const auto ask = find_function<size_t()>("libcudnn.so.9", "cudnnGetVersion")) {
    const size_t code = ask();
    return {State::absent, "cuDNN",
            fmt::format("{}.{}.{} is here, but this build does without it", code / 10000,
                        code / 100 % 100, code % 100),
            "attention on a GPU is fastest with it: build with cudnn-frontend's headers, "
            "-DCUDNN_FRONTEND_INCLUDE_DIR=.../include"};
  }
  return {State::absent, "cuDNN", "libcudnn.so.9 cannot be loaded",
          "attention on a GPU is fastest with it: install libcudnn9-cuda-13"};
}

}  // namespace

std::vector<Finding> examine_gpus() { return {driver(), library(), devices(), nccl(), cudnn()}; }

}  // namespace katman
