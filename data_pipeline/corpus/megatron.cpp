#include "data_pipeline/corpus/megatron.h"

#include <cstring>

#include "core/error.h"

namespace katman {
namespace {

constexpr char magic[] = "MMIDIDX\0";  // and one more zero, the string's own
constexpr uint64_t magic_bytes = 9, head_bytes = magic_bytes + 8 + 1 + 8 + 8;
enum Code : uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };

struct Width {
  uint64_t bytes;
  bool is_signed;
};

Width width_of(uint8_t code, const std::string& path) {
  switch (code) {
    case u8:
      return {1, false};
    case i8:
      return {1, true};
    case i16:
      return {2, true};
    case i32:
      return {4, true};
    case i64:
      return {8, true};
    case u16:
      return {2, false};
    default:
      fail("{}: type {} at byte 17 is none that ids have", path, code);
  }
}

template <class T>
void write_table(NewFile& file, const std::vector<T>& table) {
  file.write(table.data(), table.size() * sizeof(T));
}
template <class T>
void write_number(NewFile& file, T number) {
  file.write(&number, sizeof number);
}

}  // namespace

MegatronWriter::MegatronWriter(const std::string& prefix, uint64_t vocabulary)
    : prefix_(prefix), narrow_(vocabulary < 65500), ids_(prefix + ".bin") {
  require(vocabulary <= uint64_t{1} << 31, "a vocabulary of {} does not fit 31 bits", vocabulary);
}

void MegatronWriter::add(std::span<const int32_t> document) {
  require(document.size() <= INT32_MAX, "document {} has {} tokens, more than the format counts",
          lengths_.size(), document.size());
  begins_.push_back(static_cast<int64_t>(ids_.size()));
  lengths_.push_back(static_cast<int32_t>(document.size()));
  if (narrow_) {
    const std::vector<uint16_t> ids(document.begin(), document.end());
    ids_.write(ids.data(), ids.size() * 2);
  } else {
    ids_.write(document.data(), document.size_bytes());
  }
}

void MegatronWriter::finish() {
  ids_.commit();
  NewFile index(prefix_ + ".idx");
  index.write(magic, magic_bytes);
  write_number<uint64_t>(index, 1);
  write_number<uint8_t>(index, narrow_ ? u16 : i32);
  write_number<uint64_t>(index, lengths_.size());
  write_number<uint64_t>(index, lengths_.size() + 1);
  write_table(index, lengths_);
  write_table(index, begins_);
  std::vector<int64_t> starts(lengths_.size() + 1);
  for (size_t d = 0; d < starts.size(); ++d) starts[d] = static_cast<int64_t>(d);
  write_table(index, starts);
  index.commit();
}

MegatronReader::MegatronReader(const std::string& prefix)
    : prefix_(prefix), index_(prefix + ".idx"), ids_(prefix + ".bin") {
  const std::string path = prefix + ".idx";
  require(index_.size() >= head_bytes && std::memcmp(index_.data(), magic, magic_bytes) == 0,
          "{} is not an index of Megatron-LM: it does not start with MMIDIDX", path);
  const auto version = entry<uint64_t>(magic_bytes, 0);
  require(version == 1, "{} is an index of version {}; this program reads version 1", path,
          version);
  const auto [bytes, is_signed] = width_of(static_cast<uint8_t>(index_.data()[17]), path);
  width_ = bytes, is_signed_ = is_signed;
  sequences_ = entry<uint64_t>(18, 0);
  const auto entries = entry<uint64_t>(26, 0);
  const uint64_t most = index_.size() / 8;  // more than any table can have
  require(sequences_ <= most && entries >= 1 && entries <= most &&
              index_.size() == head_bytes + sequences_ * 12 + entries * 8,
          "{} is {} bytes long, which does not fit {} sequences and {} documents; copy it again",
          path, index_.size(), sequences_, entries);
  documents_ = entries - 1;
  lengths_ = head_bytes, begins_ = lengths_ + sequences_ * 4, starts_ = begins_ + sequences_ * 8;
  for (uint64_t s = 0; s < sequences_; ++s) {
    const int64_t length = entry<int32_t>(lengths_, s), begin = entry<int64_t>(begins_, s);
    require(
        length >= 0 && begin >= 0 &&
            static_cast<uint64_t>(begin) + static_cast<uint64_t>(length) * width_ <= ids_.size(),
        "{}: sequence {} has {} ids from byte {} on, and {}.bin has {} bytes; copy both again",
        path, s, length, begin, prefix, ids_.size());
  }
  for (uint64_t d = 0; d <= documents_; ++d) {
    const int64_t start = entry<int64_t>(starts_, d),
                  before = d ? entry<int64_t>(starts_, d - 1) : 0;
    require(start >= before && static_cast<uint64_t>(start) <= sequences_,
            "{}: document {} starts with sequence {} of {}, behind {}", path, d, start, sequences_,
            before);
  }
}

template <class T>
T MegatronReader::entry(uint64_t table, uint64_t i) const {
  T number;  // tables are not aligned
  std::memcpy(&number, index_.data() + table + i * sizeof number, sizeof number);
  return number;
}

int64_t MegatronReader::id(uint64_t at) const {
  uint64_t bits = 0;
  std::memcpy(&bits, ids_.data() + at, width_);
  const auto unused = static_cast<int>(64 - 8 * width_);
  return is_signed_ ? static_cast<int64_t>(bits << unused) >> unused : static_cast<int64_t>(bits);
}

std::vector<uint32_t> MegatronReader::document(uint64_t d, uint64_t vocabulary) const {
  std::vector<uint32_t> tokens;
  const auto last = static_cast<uint64_t>(entry<int64_t>(starts_, d + 1));
  for (auto s = static_cast<uint64_t>(entry<int64_t>(starts_, d)); s < last; ++s) {
    const auto begin = static_cast<uint64_t>(entry<int64_t>(begins_, s));
    const auto length = static_cast<uint64_t>(entry<int32_t>(lengths_, s));
    for (uint64_t i = 0; i < length; ++i) {
      const int64_t token = id(begin + i * width_);
      require(token >= 0 && static_cast<uint64_t>(token) < vocabulary,
              "{}.bin: document {} has token {}, outside the tokenizer's vocabulary of {}", prefix_,
              d, token, vocabulary);
      tokens.push_back(static_cast<uint32_t>(token));
    }
  }
  return tokens;
}

}  // namespace katman
