#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>

#include "core/error.h"
#include "data_pipeline/tokenize/piece_key.h"
#include "data_pipeline/tokenize/train.h"

namespace katman {
namespace {

// Counts of short pieces: open addressing, 24 bytes a slot, at most half full.
class ShortCounts {
 public:
  struct Slot {
    PieceKey key;
    uint64_t count = 0;
  };

  ShortCounts() : slots_(size_t{1} << 12) {}

  void prefetch(PieceKey key) const { __builtin_prefetch(&slots_[home(key)]); }

  void add(PieceKey key, uint64_t count) {
    size_t i = home(key);
    while (slots_[i].key.exists() && !(slots_[i].key == key)) i = (i + 1) & (slots_.size() - 1);
    if (!slots_[i].key.exists()) {
      if (2 * ++used_ > slots_.size()) {
        grow();
        --used_;
        return add(key, count);
      }
      slots_[i].key = key;
    }
    slots_[i].count += count;
  }

  const std::vector<Slot>& slots() const { return slots_; }
  size_t used() const { return used_; }

 private:
  size_t home(PieceKey key) const { return key.hash() >> (64 - std::countr_zero(slots_.size())); }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    used_ = 0;
    for (const Slot& slot : old)
      if (slot.key.exists()) add(slot.key, slot.count);
  }

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

struct BytesHash {
  using is_transparent = void;
  size_t operator()(std::string_view bytes) const { return std::hash<std::string_view>()(bytes); }
};
using LongCounts = std::unordered_map<std::string, uint64_t, BytesHash, std::equal_to<>>;

}  // namespace

struct PieceCounter::Table {
  Pattern pattern;
  ShortCounts short_pieces;
  LongCounts long_pieces;
  uint64_t bytes = 0, pieces = 0;

  void add_long(std::string_view piece, uint64_t count) {
    const auto found = long_pieces.find(piece);
    if (found != long_pieces.end())
      found->second += count;
    else
      long_pieces.emplace(piece, count);
  }
};

PieceCounter::PieceCounter(Pattern pattern) : table_(std::make_unique<Table>()) {
  table_->pattern = pattern;
}
PieceCounter::~PieceCounter() = default;
PieceCounter::PieceCounter(PieceCounter&&) noexcept = default;
PieceCounter& PieceCounter::operator=(PieceCounter&&) noexcept = default;

void PieceCounter::add(std::string_view text) {
  std::array<const char*, 64> ends;
  std::array<PieceKey, 64> keys;
  Table& table = *table_;
  PieceScanner scanner(table.pattern, text);
  const char* const text_end = text.data() + text.size();
  const char* p = text.data();
  table.bytes += text.size();
  while (const size_t count = scanner.next(ends)) {
    size_t short_ones = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto size = static_cast<size_t>(ends[i] - p);
      if (size <= PieceKey::max_bytes) {
        keys[short_ones] = piece_key(p, size, text_end);
        table.short_pieces.prefetch(keys[short_ones++]);
      } else {
        table.add_long({p, size}, 1);
      }
      p = ends[i];
    }
    for (size_t i = 0; i < short_ones; ++i) table.short_pieces.add(keys[i], 1);
    table.pieces += count;
  }
}

void PieceCounter::merge(PieceCounter&& other) {
  require(pattern() == other.pattern(), "pieces of pattern {} cannot be added to pieces of {}",
          name_of(other.pattern()), name_of(pattern()));
  for (const auto& [key, count] : other.table_->short_pieces.slots())
    if (key.exists()) table_->short_pieces.add(key, count);
  for (const auto& [piece, count] : other.table_->long_pieces) table_->add_long(piece, count);
  table_->bytes += other.bytes();
  table_->pieces += other.pieces();
  *other.table_ = Table{other.pattern(), {}, {}};
}

Pattern PieceCounter::pattern() const { return table_->pattern; }
uint64_t PieceCounter::bytes() const { return table_->bytes; }
uint64_t PieceCounter::pieces() const { return table_->pieces; }
uint64_t PieceCounter::distinct() const {
  return table_->short_pieces.used() + table_->long_pieces.size();
}

std::vector<PieceCounter::Piece> PieceCounter::sorted() const {
  std::vector<Piece> all;
  all.reserve(distinct());
  for (const auto& slot : table_->short_pieces.slots())
    if (slot.key.exists())
      all.push_back({{reinterpret_cast<const char*>(&slot.key), slot.key.size()}, slot.count});
  for (const auto& [piece, count] : table_->long_pieces) all.push_back({piece, count});
  std::sort(all.begin(), all.end(),
            [](const Piece& a, const Piece& b) { return a.bytes < b.bytes; });
  return all;
}

}  // namespace katman
