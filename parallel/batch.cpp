#include "parallel/batch.h"

namespace katman {

std::vector<MicroBatch> cut_batch(int64_t first, int64_t count, int dp_rank, int dp,
                                  int64_t micro_batch) {
  const int64_t begin = count * dp_rank / dp, mine = count * (dp_rank + 1) / dp - begin;
  const int64_t micros = (mine + micro_batch - 1) / micro_batch;
  std::vector<MicroBatch> cut;
  for (int64_t i = 0; i < micros; ++i) {
    const int64_t from = mine * i / micros, to = mine * (i + 1) / micros;
    cut.push_back({first + begin + from, to - from});
  }
  return cut;
}

}  // namespace katman
