#include "core/cuda/trace.h"

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "core/cuda/check.h"
#include "core/cuda/cupti/api.h"
#include "core/error.h"

namespace katman {
namespace {

constexpr size_t buffer_bytes = 8 << 20;  // tens of thousands of records

// Kernels of different streams may overlap as they do untraced (CUPTI_ACTIVITY_KIND_KERNEL would
// keep them apart).
constexpr std::array kinds = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                              CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET};

// One for the process: CUPTI's callbacks, which threads of its own may call, take nothing of ours.
struct Recording {
  std::mutex mutex;
  std::vector<CudaActivity> found;
  size_t dropped = 0;
};
Recording& recording() {
  static Recording one;
  return one;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : name;
}

template <class Record>
CudaActivity as(const CUpti_Activity& record, std::string name) {
  const auto& typed = reinterpret_cast<const Record&>(record);
  return {std::move(name), static_cast<int64_t>(typed.start), static_cast<int64_t>(typed.end)};
}

// Versions of a record only append to it: the oldest that every CUDA from 12.0 on knows is enough.
using KernelRecord = CUpti_ActivityKernel9;

std::optional<CudaActivity> read(const CUpti_Activity& record) {
  switch (record.kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return as<KernelRecord>(record,
                              demangled(reinterpret_cast<const KernelRecord&>(record).name));
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return as<CUpti_ActivityMemcpy5>(record, "copy");
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return as<CUpti_ActivityMemcpyPtoP4>(record, "copy between devices");
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return as<CUpti_ActivityMemset4>(record, "fill");
    default:
      return std::nullopt;
  }
}

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* bytes, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, buffer_bytes));
  *bytes = *buffer ? buffer_bytes : 0;
  *most_records = 0;  // as many as fit
}

void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t* buffer, size_t,
                          size_t valid_bytes) {
  const std::unique_ptr<uint8_t, decltype(&std::free)> owned(buffer, std::free);
  const CuptiApi& api = cupti_api();
  Recording& into = recording();
  const std::lock_guard lock(into.mutex);
  CUpti_Activity* record = nullptr;
  while (valid_bytes > 0 && api.next_record(buffer, valid_bytes, &record) == CUPTI_SUCCESS)
    if (auto activity = read(*record)) into.found.push_back(std::move(*activity));
  size_t dropped = 0;
  if (api.dropped_records(context, stream, &dropped) == CUPTI_SUCCESS) into.dropped += dropped;
}

void finish_device_work() { cuda_check(cudaDeviceSynchronize(), "finish what is enqueued"); }

}  // namespace

void CuptiApi::check(CUptiResult result, const char* what) const {
  if (result == CUPTI_SUCCESS) return;
  const char* said = nullptr;
  result_string(result, &said);
  fail("cannot {}: CUPTI says {}", what, said ? said : "nothing");
}

void start_trace() {
  const CuptiApi& api = cupti_api();
  finish_device_work();
  {
    const std::lock_guard lock(recording().mutex);
    recording().found.clear();
    recording().dropped = 0;
  }
  api.check(api.register_callbacks(give_buffer, take_buffer), "trace the device");
  for (const CUpti_ActivityKind kind : kinds) api.check(api.enable(kind), "trace the device");
}

std::vector<CudaActivity> finish_trace() {
  const CuptiApi& api = cupti_api();
  finish_device_work();
  api.check(api.flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "read the device's trace");
  for (const CUpti_ActivityKind kind : kinds) api.check(api.disable(kind), "end a trace");
  const std::lock_guard lock(recording().mutex);
  require(recording().dropped == 0, "the trace is not whole: CUPTI dropped {} records",
          recording().dropped);
  auto found = std::exchange(recording().found, {});
  std::ranges::sort(found, {}, &CudaActivity::begin_ns);
  return found;
}

}  // namespace katman
