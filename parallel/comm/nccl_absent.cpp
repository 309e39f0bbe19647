// What a build without NCCL's headers says about it.
#include "core/error.h"
#include "parallel/comm/nccl.h"

namespace katman {

std::string why_no_nccl() { return "this program was built without NCCL"; }

std::string nccl_version() { fail("{}", why_no_nccl()); }

std::unique_ptr<Comm> make_nccl_comm(std::unique_ptr<Comm>, DeviceQueue&, Pool&,
                                     std::chrono::milliseconds) {
  fail("{}", why_no_nccl());
}

}  // namespace katman
