// Forward passes for those who ask a model instead of training it: batches of texts of any lengths,
// keys and values of past tokens kept, stages on as many ranks as the model needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/comm.h"
#include "core/model/gpt.h"

namespace katman {

// The keys and values of some texts, as far as they were read, in this rank's stages.
struct Memory {
  int64_t texts = 0, capacity = 0;           // tokens of each
  std::vector<std::vector<KvCache>> stages;  // [chunk][layer]
};

// What one text reads next: tokens behind `past` that its memory holds.
struct Unread {
  std::span<const int32_t> ids;
  int64_t past = 0;
};

// Hidden states behind the last stage, `length` rows for every text of the batch (shorter ones have
// padding behind them); on the ranks of other stages there are none.
struct Hidden {
  int64_t length = 0;
  Tensor states;  // [texts * length, hidden]
  int64_t row(int64_t text, int64_t token) const { return text * length + token; }
};

// Every rank of the model calls the same functions with the same arguments and gets the same
// results.
class Reader {
 public:
  // stages [chunk]: stage s of the model is chunk s / pp.size() of rank s % pp.size(). All outlive
  // this.
  Reader(const GptConfig& config, std::vector<GptStage*> stages, const ModelContext& context,
         Comm& pp);

  const GptConfig& config() const { return config_; }

  Memory make_memory(int64_t texts, int64_t capacity) const;
  int64_t bytes_per_token() const;  // of memory, on this rank
  // Text `to` of `there` takes over the first `tokens` tokens of text `from`.
  void copy(const Memory& memory, int64_t from, const Memory& there, int64_t to,
            int64_t tokens) const;

  // Texts [first, first + batch.size()) of the memory read on. Each ends up with past + ids in its
  // memory; past plus the longest ids of the batch must fit it and the model's positions.
  Hidden read(std::span<const Unread> batch, const Memory& memory, int64_t first = 0);
  // The same for whole texts that nobody will continue: nothing is kept.
  Hidden read(std::span<const Unread> batch);

  // Of the token after each of these rows: f32 [rows, vocabulary].
  std::vector<float> logits(const Hidden& hidden, std::span<const int32_t> rows);
  // Of targets[i] after rows[i].
  std::vector<TokenScore> scores(const Hidden& hidden, std::span<const int32_t> rows,
                                 std::span<const int32_t> targets);

 private:
  Hidden read(std::span<const Unread> batch, const Memory* memory, int64_t first);
  Tensor through_stages(const Tensor& ids, Micro micro, const Memory* memory, int64_t first);
  Tensor upload(std::span<const int32_t> values) const;
  Tensor gather(const Hidden& hidden, std::span<const int32_t> rows) const;
  // From the last stage's ranks to all.
  void share(std::span<float> values) const;
  bool is_last() const { return pp_.rank() == pp_.size() - 1; }

  GptConfig config_;
  std::vector<GptStage*> stages_;  // [chunk]
  const ModelContext& context_;
  Comm& pp_;
};

}  // namespace katman
