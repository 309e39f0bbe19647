#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "core/cuda/cupti/api.h"
#include "tests/emulated_cuda/cuda_runtime.h"

namespace {

using emulated::Activity;
// Every record has room for the largest.
using Record = CUpti_ActivityKernel9;

std::set<CUpti_ActivityKind> enabled;
std::vector<Record> records;
CUpti_BuffersCallbackRequestFunc request = nullptr;
CUpti_BuffersCallbackCompleteFunc complete = nullptr;

CUpti_ActivityKind kind_of(Activity::Kind kind) {
  switch (kind) {
    case Activity::Kind::kernel:
      return CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    case Activity::Kind::copy:
      return CUPTI_ACTIVITY_KIND_MEMCPY;
    case Activity::Kind::fill:
      return CUPTI_ACTIVITY_KIND_MEMSET;
  }
  return CUPTI_ACTIVITY_KIND_MEMSET;
}

void keep(const Activity& activity) {
  if (!enabled.count(kind_of(activity.kind))) return;
  Record record = {};
  record.kind = kind_of(activity.kind);
  record.start = activity.begin_ns;
  record.end = activity.end_ns;
  record.name = activity.name;
  records.push_back(record);
}

// One buffer full, as late and in as many pieces as the real one might: few records at a time, in
// an order of its own.
constexpr size_t most_at_once = 100;

}  // namespace

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc on_request,
                                           CUpti_BuffersCallbackCompleteFunc on_complete) {
  request = on_request;
  complete = on_complete;
  return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
  enabled.insert(kind);
  emulated::observe(keep);
  return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind) {
  enabled.erase(kind);
  if (enabled.empty()) emulated::observe({});
  return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityFlushAll(uint32_t) {
  std::ranges::reverse(records);
  while (!records.empty()) {
    uint8_t* buffer = nullptr;
    size_t bytes = 0, most = 0;
    request(&buffer, &bytes, &most);
    const size_t count = std::min({records.size(), most_at_once, bytes / sizeof(Record)});
    if (count == 0) return CUPTI_ERROR_INVALID_PARAMETER;
    std::memcpy(buffer, records.data(), count * sizeof(Record));
    records.erase(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(count));
    complete(nullptr, 0, buffer, bytes, count * sizeof(Record));
  }
  return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityGetNextRecord(uint8_t* buffer, size_t valid, CUpti_Activity** record) {
  auto* next = *record ? reinterpret_cast<uint8_t*>(*record) + sizeof(Record) : buffer;
  if (next >= buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<Record*>(next);
  return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, uint32_t, size_t* dropped) {
  *dropped = 0;
  return CUPTI_SUCCESS;
}
CUptiResult cuptiGetResultString(CUptiResult, const char** text) {
  *text = "an error of the emulation";
  return CUPTI_SUCCESS;
}

namespace katman {

const CuptiApi& cupti_api() {
  static const CuptiApi api = {cuptiActivityRegisterCallbacks,
                               cuptiActivityEnable,
                               cuptiActivityDisable,
                               cuptiActivityFlushAll,
                               cuptiActivityGetNextRecord,
                               cuptiActivityGetNumDroppedRecords,
                               cuptiGetResultString};
  return api;
}

}  // namespace katman
