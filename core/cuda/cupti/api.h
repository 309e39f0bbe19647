// The functions of CUPTI, found when they are needed: only a trace asks for the library.
#pragma once

#include <cupti.h>

namespace katman {

struct CuptiApi {
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks = nullptr;
  decltype(&cuptiActivityEnable) enable = nullptr;
  decltype(&cuptiActivityDisable) disable = nullptr;
  decltype(&cuptiActivityFlushAll) flush_all = nullptr;
  decltype(&cuptiActivityGetNextRecord) next_record = nullptr;
  decltype(&cuptiActivityGetNumDroppedRecords) dropped_records = nullptr;
  decltype(&cuptiGetResultString) result_string = nullptr;

  // Throws Error with CUPTI's own words unless `result` is success.
  void check(CUptiResult result, const char* what) const;
};

// Loaded once per process. Throws Error when there is none.
const CuptiApi& cupti_api();

}  // namespace katman
