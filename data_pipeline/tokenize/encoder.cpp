#include <algorithm>
#include <array>
#include <vector>

#include "data_pipeline/tokenize/model.h"
#include "data_pipeline/tokenize/piece_key.h"
#include "xxhash.h"

namespace katman {
namespace {

// The ids of recent short pieces. Natural text repeats itself: more than 99 of 100 pieces are found
// here, so what counts is that a look-up costs one cache line, fetched ahead of time.
class ShortCache {
 public:
  static constexpr size_t inline_ids = 3;  // enough for 98 of 100 pieces of English

  struct Slot {
    PieceKey key;
    uint32_t count;
    uint32_t ids[inline_ids];
  };
  // The two places where a piece may be. A newcomer takes the second and moves up when it is asked
  // for again, so that the many pieces that occur once do not drive out the few that matter.
  struct alignas(64) Line {
    Slot slots[2];
  };

  ShortCache() : lines_(lines), rest_(2 * lines) {}

  Line* line_of(PieceKey key) { return &lines_[key.hash() >> (64 - log_lines)]; }

  // Writes the ids to `to`, which has room for max_bytes of them, and returns how many: 0 if the
  // piece is not here.
  size_t find(Line* line, PieceKey key, uint32_t* to) {
    if (!(line->slots[0].key == key)) [[unlikely]] {
      if (!(line->slots[1].key == key)) return 0;
      move_up(line);
    }
    const Slot& slot = line->slots[0];
    std::memcpy(to, slot.ids, sizeof slot.ids);
    if (slot.count > inline_ids) [[unlikely]]
      std::copy_n(rest(line, 0).begin(), slot.count - inline_ids, to + inline_ids);
    return slot.count;
  }

  void insert(Line* line, PieceKey key, std::span<const uint32_t> ids) {
    const size_t way = line->slots[0].key.exists() ? 1 : 0;
    Slot& slot = line->slots[way];
    slot.key = key;
    slot.count = static_cast<uint32_t>(ids.size());
    const size_t near = std::min(ids.size(), inline_ids);
    std::copy_n(ids.begin(), near, slot.ids);
    std::copy(ids.begin() + near, ids.end(), rest(line, way).begin());
  }

 private:
  static constexpr int log_lines = 16;
  static constexpr size_t lines = size_t{1} << log_lines;
  using Rest = std::array<uint32_t, PieceKey::max_bytes - inline_ids>;

  Rest& rest(const Line* line, size_t way) {
    return rest_[2 * static_cast<size_t>(line - lines_.data()) + way];
  }

  void move_up(Line* line) {
    const bool more = std::max(line->slots[0].count, line->slots[1].count) > inline_ids;
    std::swap(line->slots[0], line->slots[1]);
    if (more) std::swap(rest(line, 0), rest(line, 1));
  }

  std::vector<Line> lines_;
  std::vector<Rest> rest_;  // [2 * line + way] the ids after the first three
};

// The ids of recent pieces that are too long for a key, one per hash value.
class LongCache {
 public:
  static constexpr size_t max_bytes = 256;

  struct Entry {
    std::string piece;
    std::vector<uint32_t> ids;
  };

  LongCache() : entries_(size_t{1} << 13) {}
  Entry& entry_of(std::string_view piece) {
    return entries_[XXH3_64bits(piece.data(), piece.size()) & (entries_.size() - 1)];
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace

struct Encoder::State {
  explicit State(const Tokenizer& tokenizer) : model(tokenizer.model_) {}

  // The ids of one piece from the vocabulary and the merges alone. Valid until the next call.
  std::span<const uint32_t> merge(std::string_view piece) {
    if (model->parts.whole_piece_first)
      if (const auto whole = model->ids.find(piece); whole != model->ids.end()) {
        ids.assign(1, whole->second);
        return ids;
      }
    ids.resize(piece.size());
    for (size_t i = 0; i < piece.size(); ++i)
      ids[i] = model->byte_ids[static_cast<uint8_t>(piece[i])];
    return std::span(ids).first(model->merges.apply(ids, scratch));
  }

  std::span<const uint32_t> long_piece(std::string_view piece) {
    if (piece.size() > LongCache::max_bytes) return merge(piece);
    LongCache::Entry& entry = long_cache.entry_of(piece);
    if (entry.piece != piece) {
      const auto merged = merge(piece);
      entry.piece = piece;
      entry.ids.assign(merged.begin(), merged.end());
    }
    return entry.ids;
  }

  std::shared_ptr<const Tokenizer::Model> model;
  ShortCache short_cache;
  LongCache long_cache;
  std::vector<uint32_t> ids;
  MergeTable::Scratch scratch;
};

Encoder::Encoder(const Tokenizer& tokenizer) : state_(std::make_unique<State>(tokenizer)) {}
Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

void Encoder::encode(std::string_view text, std::vector<uint32_t>& out) {
  constexpr size_t batch = 64;  // pieces: far enough ahead for the prefetched lines to arrive
  struct Lookup {
    PieceKey key;
    ShortCache::Line* line;  // nullptr: a long piece
  };
  std::array<const char*, batch> ends;
  std::array<Lookup, batch> lookups;
  std::array<uint32_t, batch * PieceKey::max_bytes> ready;  // ids not yet in `out`
  State& state = *state_;

  PieceScanner scanner(state.model->parts.pattern, text);
  const char* const text_end = text.data() + text.size();
  const char* begin = text.data();
  while (const size_t count = scanner.next(ends)) {
    const char* p = begin;
    for (size_t i = 0; i < count; ++i) {
      const auto size = static_cast<size_t>(ends[i] - p);
      lookups[i].line = nullptr;
      if (size <= PieceKey::max_bytes) {
        lookups[i].key = piece_key(p, size, text_end);
        lookups[i].line = state.short_cache.line_of(lookups[i].key);
        __builtin_prefetch(lookups[i].line);
      }
      p = ends[i];
    }
    uint32_t* to = ready.data();
    for (size_t i = 0; i < count; ++i) {
      const std::string_view piece(begin, static_cast<size_t>(ends[i] - begin));
      begin = ends[i];
      const auto [key, line] = lookups[i];
      if (line == nullptr) {
        out.insert(out.end(), ready.data(), to);
        to = ready.data();
        const auto ids = state.long_piece(piece);
        out.insert(out.end(), ids.begin(), ids.end());
      } else if (const size_t n = state.short_cache.find(line, key, to)) {
        to += n;
      } else {
        const auto ids = state.merge(piece);
        state.short_cache.insert(line, key, ids);
        to = std::copy(ids.begin(), ids.end(), to);
      }
    }
    out.insert(out.end(), ready.data(), to);
  }
}

}  // namespace katman
