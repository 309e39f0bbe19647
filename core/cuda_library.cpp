#include "core/cuda_library.h"

#include <dlfcn.h>

#include <charconv>
#include <mutex>
#include <system_error>

#include "core/log.h"

namespace katman {

std::optional<int> cuda_device_of(const std::string& kind) {
  if (kind == "cuda") return 0;
  if (!kind.starts_with("cuda:")) return {};
  int device = -1;
  const char *begin = kind.data() + 5, *end = kind.data() + kind.size();
  const auto [stop, error] = std::from_chars(begin, end, device);
  require_usage(error == std::errc() && stop == end && device >= 0,
                "\"{}\" names no device; write cuda:0 for the first one", kind);
  return device;
}

CudaLibrary::CudaLibrary(const std::filesystem::path& file)
    : file_(file), handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (!handle_)
    fail("cannot load {}: {}; install the CUDA libraries it needs or add them to LD_LIBRARY_PATH",
         file.string(), dlerror());
}

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> find_beside_me(const char* name) {
  const auto here = fs::read_symlink("/proc/self/exe").parent_path();
  for (const auto& file : {here / name, here.parent_path() / "lib/katman" / name})
    if (fs::exists(file)) return file;
  return {};
}

}  // namespace

CudaLibrary CudaLibrary::beside_me() {
  if (const auto file = find_beside_me(with_cudnn)) {
    try {
      return CudaLibrary(*file);
    } catch (const Error& error) {
      static std::once_flag told;
      std::call_once(told, [&] {
        spdlog::info("attention on a GPU does without cuDNN, which is fastest: {}", error.what());
      });
    }
  }
  return beside_me("libkatman_cuda.so");
}

bool CudaLibrary::is_beside_me(const char* name) { return find_beside_me(name).has_value(); }

CudaLibrary CudaLibrary::beside_me(const char* name) {
  if (const auto file = find_beside_me(name)) return CudaLibrary(*file);
  fail(
      "no {} beside this program ({}): it was built where there was no CUDA toolkit, so it "
      "computes on the CPU only",
      name, fs::read_symlink("/proc/self/exe").parent_path().string());
}

void* CudaLibrary::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  require(found != nullptr, "{} has no {}: it belongs to another version of Katman", file_.string(),
          name);
  return found;
}

std::unique_ptr<Backend> CudaLibrary::backend(int device) const {
  const auto make = reinterpret_cast<MakeBackend*>(symbol(make_backend_name));
  return std::unique_ptr<Backend>(make(device));
}

int CudaLibrary::devices() const {
  return reinterpret_cast<CountDevices*>(symbol(count_devices_name))();
}

CudaDeviceInfo CudaLibrary::describe(int device) const {
  CudaDeviceInfo info;
  reinterpret_cast<Describe*>(symbol(describe_name))(device, &info);
  return info;
}

int CudaLibrary::runtime_version() const {
  return reinterpret_cast<CountDevices*>(symbol(version_name))();
}

std::string CudaLibrary::fused_attention() const {
  std::string name;
  reinterpret_cast<FusedAttentionName*>(symbol(fused_attention_name))(&name);
  return name;
}

void CudaLibrary::start_trace() const { reinterpret_cast<StartTrace*>(symbol(start_trace_name))(); }

std::vector<CudaActivity> CudaLibrary::finish_trace() const {
  std::vector<CudaActivity> activities;
  reinterpret_cast<FinishTrace*>(symbol(finish_trace_name))(&activities);
  return activities;
}

}  // namespace katman
