#include "core/model/reader.h"

#include <algorithm>

#include "core/model/rows.h"

namespace katman {
namespace {

// Ids of the batch, right-padded to one length.
struct Padded {
  int64_t texts = 0, length = 0;
  std::vector<int32_t> ids;    // [texts * length]
  std::vector<int64_t> pasts;  // [text]

  bool one_past() const {
    return std::ranges::all_of(pasts, [&](auto p) { return p == pasts[0]; });
  }
  // Of every row; the model's last one for padding that lies beyond.
  std::vector<int32_t> places(int64_t positions) const {
    std::vector<int32_t> places;
    for (const int64_t past : pasts)
      for (int64_t i = 0; i < length; ++i)
        places.push_back(static_cast<int32_t>(std::min(past + i, positions - 1)));
    return places;
  }
};

// `multiple`: what the length must be divisible by, so that ranks can share the rows.
Padded pad(std::span<const Unread> batch, int64_t multiple) {
  Padded all;
  for (const Unread& unread : batch)
    all.length = std::max(all.length, static_cast<int64_t>(unread.ids.size()));
  all.length = (all.length + multiple - 1) / multiple * multiple;
  all.texts = static_cast<int64_t>(batch.size());
  for (const Unread& unread : batch) all.pasts.push_back(unread.past);
  all.ids.resize(static_cast<size_t>(all.texts * all.length));
  for (size_t text = 0; text < batch.size(); ++text)
    std::ranges::copy(batch[text].ids, all.ids.begin() + static_cast<int64_t>(text) * all.length);
  return all;
}

}  // namespace

Reader::Reader(const GptConfig& config, std::vector<GptStage*> stages, const ModelContext& context,
               Comm& pp)
    : config_(config), stages_(std::move(stages)), context_(context), pp_(pp) {}

Memory Reader::make_memory(int64_t texts, int64_t capacity) const {
  Memory memory{texts, capacity, {}};
  for (const GptStage* stage : stages_)
    memory.stages.push_back(stage->make_caches(texts, capacity));
  return memory;
}

int64_t Reader::bytes_per_token() const {
  int64_t bytes = 0;
  for (const auto& layers : make_memory(1, 1).stages)
    for (const KvCache& cache : layers) bytes += cache.k.bytes() + cache.v.bytes();
  return bytes;
}

void Reader::copy(const Memory& memory, int64_t from, const Memory& there, int64_t to,
                  int64_t tokens) const {
  if (tokens == 0) return;
  const auto rows = [&](const Tensor& cache, int64_t text) {
    const Shape one = {cache.extent(1), cache.extent(2), cache.extent(3)};
    return cache.slice(text, 1).view(one).slice(0, tokens);
  };
  for (size_t chunk = 0; chunk < stages_.size(); ++chunk)
    for (size_t layer = 0; layer < memory.stages[chunk].size(); ++layer) {
      const KvCache &source = memory.stages[chunk][layer], &target = there.stages[chunk][layer];
      context_.backend.copy(rows(source.k, from), rows(target.k, to));
      context_.backend.copy(rows(source.v, from), rows(target.v, to));
    }
}

Tensor Reader::upload(std::span<const int32_t> values) const {
  const Tensor device = context_.backend.empty({static_cast<int64_t>(values.size())}, DType::i32);
  context_.backend.upload(values.data(), device);
  return device;
}

Tensor Reader::through_stages(const Tensor& ids, Micro micro, const Memory* memory, int64_t first) {
  const int ranks = pp_.size(), stages = static_cast<int>(stages_.size()) * ranks;
  const int64_t rows = ids.elements();
  const int64_t mine = context_.sequence_parallel ? rows / context_.tp.size() : rows;
  Tensor x = ids;
  for (size_t chunk = 0; chunk < stages_.size(); ++chunk) {
    const int stage = static_cast<int>(chunk) * ranks + pp_.rank();
    if (stage > 0 && ranks > 1) {
      x = context_.empty({mine, config_.hidden});
      pp_.recv(x, (pp_.rank() + ranks - 1) % ranks).wait();
    }
    std::vector<KvCache> caches;
    if (memory) {
      for (const KvCache& cache : memory->stages[chunk])
        caches.push_back(
            {cache.k.slice(first, micro.sequences), cache.v.slice(first, micro.sequences)});
      micro.caches = &caches;
    }
    Tape tape(micro, false);
    x = stages_[chunk]->forward(x, tape);
    if (stage + 1 < stages && ranks > 1) pp_.send(x, (pp_.rank() + 1) % ranks).wait();
  }
  return is_last() ? gather_rows(context_, x).arrived() : Tensor();
}

Hidden Reader::read(std::span<const Unread> batch, const Memory* memory, int64_t first) {
  const Padded all = pad(batch, context_.sequence_parallel ? context_.tp.size() : 1);
  require(all.length > 0, "a model needs at least one token to read");
  const int64_t room = memory ? std::min(memory->capacity, config_.sequence) : config_.sequence;
  for (const Unread& unread : batch) {
    require(memory || unread.past == 0, "a text without a memory has no past");
    require(unread.past + all.length <= room, "{} tokens behind {} do not fit into {} positions",
            all.length, unread.past, room);
    for (const int32_t id : unread.ids)
      require_usage(id >= 0 && id < config_.vocabulary, "{} is not a token; this model has 0 to {}",
                    id, config_.vocabulary - 1);
  }
  require(!memory || first + all.texts <= memory->texts, "{} texts do not fit a memory of {}",
          first + all.texts, memory ? memory->texts : 0);
  Micro micro;
  micro.sequences = all.texts;
  micro.length = all.length;
  micro.training = false;
  micro.pasts = all.pasts;
  if (!all.one_past()) micro.places = upload(all.places(config_.sequence));
  return {all.length, through_stages(upload(all.ids), micro, memory, first)};
}

Hidden Reader::read(std::span<const Unread> batch, const Memory& memory, int64_t first) {
  return read(batch, &memory, first);
}

Hidden Reader::read(std::span<const Unread> batch) { return read(batch, nullptr, 0); }

Tensor Reader::gather(const Hidden& hidden, std::span<const int32_t> rows) const {
  const auto count = static_cast<int64_t>(rows.size());
  const Tensor chosen = context_.empty({count, config_.hidden});
  context_.backend.embed(upload(rows), hidden.states, 0, {}, count, {}, chosen);
  return chosen;
}

void Reader::share(std::span<float> values) const {
  if (pp_.size() == 1) return;
  const Tensor sent = context_.backend.empty({static_cast<int64_t>(values.size())}, DType::f32);
  if (!is_last()) {
    pp_.recv(sent, pp_.size() - 1).wait();
    context_.backend.download(sent, values.data());
    return;
  }
  context_.backend.upload(values.data(), sent);
  for (int rank = 0; rank + 1 < pp_.size(); ++rank) pp_.send(sent, rank).wait();
}

std::vector<float> Reader::logits(const Hidden& hidden, std::span<const int32_t> rows) {
  std::vector<float> values(rows.size() * static_cast<size_t>(config_.vocabulary));
  if (is_last())
    context_.backend.download(stages_.back()->logits(gather(hidden, rows)), values.data());
  share(values);
  return values;
}

std::vector<TokenScore> Reader::scores(const Hidden& hidden, std::span<const int32_t> rows,
                                       std::span<const int32_t> targets) {
  require(rows.size() == targets.size(), "{} rows were given with {} targets", rows.size(),
          targets.size());
  std::vector<TokenScore> scores(rows.size());
  if (rows.empty()) return scores;
  if (is_last()) scores = stages_.back()->scores(gather(hidden, rows), upload(targets));
  static_assert(sizeof(TokenScore) == 2 * sizeof(float));
  share({&scores.data()->log_probability, 2 * scores.size()});
  return scores;
}

}  // namespace katman
