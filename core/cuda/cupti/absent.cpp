// Where the toolkit has no cupti.h.
#include "core/cuda/trace.h"
#include "core/error.h"

namespace katman {
namespace {

constexpr const char* objection =
    "this build cannot trace a device: CUDA's toolkit was installed without CUPTI";

}  // namespace

void start_trace() { fail("{}", objection); }
std::vector<CudaActivity> finish_trace() { fail("{}", objection); }

}  // namespace katman
