#include "data_pipeline/corpus/shard.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "core/error.h"
#include "data_pipeline/corpus/hash.h"

namespace katman {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are mapped, not converted");

constexpr char magic[8] = {'K', 'A', 'T', 'M', 'A', 'N', 'T', 'K'};
constexpr uint32_t version = 1;
constexpr uint64_t header_bytes = 4096, block_bytes = 64 << 10;
static_assert(sizeof(ShardHeader) <= header_bytes);

uint64_t header_checksum(const ShardHeader& header) {
  return hash64(&header, offsetof(ShardHeader, checksum));
}

constexpr uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

ShardWriter::ShardWriter(std::string path, uint64_t vocabulary,
                         const std::string& tokenizer_fingerprint)
    : file_(std::move(path)), vocabulary_(vocabulary) {
  require(vocabulary <= uint64_t{1} << 31, "a vocabulary of {} does not fit 31 bits", vocabulary);
  require(tokenizer_fingerprint.size() < sizeof header_.tokenizer,
          "the tokenizer's fingerprint '{}' is too long for a shard", tokenizer_fingerprint);
  std::copy(std::begin(magic), std::end(magic), header_.magic);
  header_.version = version;
  header_.token_bytes = vocabulary <= 65536 ? 2 : 4;
  header_.block_bytes = block_bytes;
  tokenizer_fingerprint.copy(header_.tokenizer, sizeof header_.tokenizer - 1);
  const std::vector<char> room(header_bytes);
  file_.write(room.data(), room.size());
  block_.reserve(block_bytes);
}

void ShardWriter::add(std::span<const uint32_t> document) {
  for (const uint32_t id : document) {
    require(id < vocabulary_, "token {} of document {} is outside the vocabulary of {}", id,
            header_.documents, vocabulary_);
    header_.largest_id = std::max<uint64_t>(header_.largest_id, id);
  }
  if (header_.token_bytes == 2) {
    const std::vector<uint16_t> narrow(document.begin(), document.end());
    append(narrow.data(), narrow.size() * 2);
  } else {
    append(document.data(), document.size_bytes());
  }
  header_.tokens += document.size();
  header_.documents += 1;
  ends_.push_back(header_.tokens);
}

void ShardWriter::append(const void* data, uint64_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const uint64_t n = std::min(bytes, block_bytes - block_.size());
    block_.insert(block_.end(), next, next + n);
    next += n;
    bytes -= n;
    if (block_.size() == block_bytes) flush_block();
  }
}

void ShardWriter::flush_block() {
  if (block_.empty()) return;
  table_.push_back(hash64(block_.data(), block_.size()));
  file_.write(block_.data(), block_.size());
  block_.clear();
}

uint64_t ShardWriter::finish() {
  const uint64_t used = header_.tokens * header_.token_bytes;
  header_.ends_offset = header_bytes + round_up(used, 8);
  const char padding[8] = {};
  append(padding, round_up(used, 8) - used);
  append(ends_.data(), ends_.size() * 8);
  flush_block();
  header_.table_offset = file_.size();
  header_.table_checksum = hash64(table_.data(), table_.size() * 8);
  file_.write(table_.data(), table_.size() * 8);
  header_.checksum = header_checksum(header_);
  file_.write_at(0, &header_, sizeof header_);
  file_.commit();
  return header_.checksum;
}

Shard::Shard(const std::string& path) : path_(path), file_(path) {
  require(file_.size() >= header_bytes, "{} is {} bytes long, shorter than a token shard's header",
          path, file_.size());
  std::memcpy(&header_, file_.data(), sizeof header_);
  check_header();
  trusted_ = std::make_unique<std::atomic<bool>[]>(blocks());
}

void Shard::check_header() const {
  require(std::equal(std::begin(magic), std::end(magic), header_.magic),
          "{} is not a token shard: it does not start with KATMANTK", path_);
  require(header_.version == version, "{} is a shard of version {}, this program reads version {}",
          path_, header_.version, version);
  require(header_.checksum == header_checksum(header_),
          "{}: the header (bytes 0 to {}) does not match its checksum; rebuild the corpus or copy "
          "the file again",
          path_, sizeof header_);
  const auto& h = header_;
  require((h.token_bytes == 2 || h.token_bytes == 4) && h.block_bytes > 0 &&
              h.tokens <= file_.size() && h.documents <= file_.size() &&
              h.ends_offset == header_bytes + round_up(h.tokens * h.token_bytes, 8) &&
              h.table_offset == h.ends_offset + h.documents * 8,
          "{}: the header contradicts itself; rebuild the corpus", path_);
  const uint64_t promised = header_.table_offset + blocks() * 8;
  require(
      file_.size() == promised,
      "{} is {} bytes long but its header promises {}; rebuild the corpus or copy the file again",
      path_, file_.size(), promised);
  require(header_.table_checksum == hash64(file_.data() + header_.table_offset, blocks() * 8),
          "{}: the table of checksums (bytes {} to {}) is damaged; rebuild the corpus or copy the "
          "file again",
          path_, header_.table_offset, file_.size());
}

uint64_t Shard::blocks() const {
  return round_up(header_.table_offset - header_bytes, header_.block_bytes) / header_.block_bytes;
}

void Shard::trust(uint64_t begin, uint64_t bytes) const {
  if (bytes == 0) return;
  const uint64_t first = (begin - header_bytes) / header_.block_bytes;
  const uint64_t last = (begin + bytes - 1 - header_bytes) / header_.block_bytes;
  for (uint64_t block = first; block <= last; ++block) {
    if (trusted_[block].load(std::memory_order_relaxed)) continue;
    check_block(block);
    trusted_[block].store(true, std::memory_order_relaxed);
  }
}

void Shard::check_block(uint64_t block) const {
  const uint64_t begin = header_bytes + block * header_.block_bytes;
  const uint64_t end = std::min(begin + header_.block_bytes, header_.table_offset);
  uint64_t expected;
  std::memcpy(&expected, file_.data() + header_.table_offset + block * 8, 8);
  require(hash64(file_.data() + begin, end - begin) == expected,
          "{}: block {} (bytes {} to {}) does not match its checksum; rebuild the corpus or copy "
          "the file again",
          path_, block, begin, end);
}

uint64_t Shard::document_end(uint64_t d) const {
  const uint64_t at = header_.ends_offset + d * 8;
  trust(at, 8);
  uint64_t end;
  std::memcpy(&end, file_.data() + at, 8);
  return end;
}

uint64_t Shard::document_of(uint64_t position) const {
  uint64_t low = 0, high = documents();
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (document_end(middle) > position)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

uint32_t Shard::token(uint64_t position) const {
  int32_t id;
  copy(position, {&id, 1});
  return static_cast<uint32_t>(id);
}

void Shard::copy(uint64_t first, std::span<int32_t> out) const {
  require(first <= tokens() && out.size() <= tokens() - first,
          "tokens {} to {} are outside the {} tokens of {}", first, first + out.size(), tokens(),
          path_);
  trust(header_bytes + first * token_bytes(), out.size() * token_bytes());
  const char* base = file_.data() + header_bytes;
  if (header_.token_bytes == 2) {
    const auto* ids = reinterpret_cast<const uint16_t*>(base) + first;
    std::copy(ids, ids + out.size(), out.begin());
  } else {
    std::memcpy(out.data(), base + first * 4, out.size_bytes());
  }
}

void Shard::verify() const {
  for (uint64_t block = 0; block < blocks(); ++block) check_block(block);
  check_contents();
}

// The checksums say that the bytes are those that were written; this says that what was written
// makes sense.
void Shard::check_contents() const {
  require(documents() == 0 || document_end(documents() - 1) == tokens(),
          "{}: the documents do not end where the {} tokens do", path_, tokens());
  for (uint64_t d = 0; d < documents(); ++d)
    require(document_begin(d) <= document_end(d), "{}: document {} ends before it begins", path_,
            d);
  std::vector<int32_t> ids(1 << 16);
  for (uint64_t first = 0; first < tokens(); first += ids.size()) {
    ids.resize(std::min<uint64_t>(ids.size(), tokens() - first));
    copy(first, ids);
    const auto largest = static_cast<uint64_t>(*std::max_element(ids.begin(), ids.end()));
    require(largest <= largest_id(), "{} holds token {} above {}, the largest id in its header",
            path_, largest, largest_id());
  }
}

}  // namespace katman
