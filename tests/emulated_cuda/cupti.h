// The part of CUPTI that core/cuda uses: activities of the emulated device as records in buffers
// that the caller provides.
#pragma once

#include <cstddef>
#include <cstdint>

#define CUPTIAPI

enum CUptiResult {
  CUPTI_SUCCESS = 0,
  CUPTI_ERROR_INVALID_PARAMETER = 1,
  CUPTI_ERROR_MAX_LIMIT_REACHED = 12
};
enum CUpti_ActivityKind : uint32_t {
  CUPTI_ACTIVITY_KIND_MEMCPY = 1,
  CUPTI_ACTIVITY_KIND_MEMSET = 2,
  CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL = 10,
  CUPTI_ACTIVITY_KIND_MEMCPY2 = 22
};
enum CUpti_ActivityFlag { CUPTI_ACTIVITY_FLAG_FLUSH_FORCED = 1 };
using CUcontext = struct emulated_context*;

struct CUpti_Activity {
  CUpti_ActivityKind kind;
};
struct CUpti_ActivityMemcpy5 : CUpti_Activity {
  uint64_t start, end;
};
using CUpti_ActivityMemcpyPtoP4 = CUpti_ActivityMemcpy5;
using CUpti_ActivityMemset4 = CUpti_ActivityMemcpy5;
struct CUpti_ActivityKernel9 : CUpti_ActivityMemcpy5 {
  const char* name;
};

using CUpti_BuffersCallbackRequestFunc = void (*)(uint8_t** buffer, size_t* bytes, size_t* most);
using CUpti_BuffersCallbackCompleteFunc = void (*)(CUcontext context, uint32_t stream,
                                                   uint8_t* buffer, size_t bytes, size_t valid);

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                           CUpti_BuffersCallbackCompleteFunc complete);
CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind);
CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind);
CUptiResult cuptiActivityFlushAll(uint32_t flags);
CUptiResult cuptiActivityGetNextRecord(uint8_t* buffer, size_t valid, CUpti_Activity** record);
CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext context, uint32_t stream, size_t* dropped);
CUptiResult cuptiGetResultString(CUptiResult result, const char** text);
