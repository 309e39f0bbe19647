#include "data_pipeline/corpus/sources.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "core/error.h"
#include "data_pipeline/corpus/hash.h"

namespace katman {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is mapped, not converted");

constexpr uint32_t skippable = 0x184D2A50;  // RFC 8878, section 3.1.2
constexpr uint64_t frame_head_bytes = 8, header_bytes = sizeof(SourcesHeader);
static_assert(header_bytes == 56);
constexpr char magic[8] = {'K', 'A', 'T', 'M', 'A', 'N', 'S', 'R'};
constexpr uint32_t version = 1;
constexpr uint32_t block_documents = 256;
constexpr uint32_t most_block_documents = 4096;  // that a reader makes room for
constexpr int level = 3;                         // of zstd
constexpr uint64_t entry_bytes = 16;

// Whoever prints a source must not be made to print these.
bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

uint64_t header_checksum(const SourcesHeader& header) {
  return hash64(&header, offsetof(SourcesHeader, checksum));
}

}  // namespace

SourcesWriter::SourcesWriter(std::string path) : file_(std::move(path)) {
  header_.frame_magic = skippable;
  header_.frame_bytes = header_bytes - frame_head_bytes;
  std::copy(std::begin(magic), std::end(magic), header_.magic);
  header_.version = version;
  header_.block_documents = block_documents;
  file_.write(&header_, sizeof header_);
}

void SourcesWriter::add(std::string_view source) {
  require(source.size() <= max_source_bytes && std::ranges::none_of(source, is_control),
          "the source of document {} is not one line of at most {} bytes", header_.documents,
          max_source_bytes);
  block_.append(source);
  block_ += '\n';
  any_ = any_ || !source.empty();
  if (++header_.documents % block_documents == 0) flush_block();
}

void SourcesWriter::flush_block() {
  if (block_.empty()) return;
  std::string packed(ZSTD_compressBound(block_.size()), '\0');
  const size_t n = ZSTD_compress(packed.data(), packed.size(), block_.data(), block_.size(), level);
  require(!ZSTD_isError(n), "zstd cannot compress the sources: {}", ZSTD_getErrorName(n));
  file_.write(packed.data(), n);
  table_.push_back(file_.size());
  table_.push_back(hash64(packed.data(), n));
  block_.clear();
}

uint64_t SourcesWriter::finish() {
  flush_block();
  header_.table_offset = file_.size();
  const uint64_t table_bytes = table_.size() * sizeof table_[0];
  const uint32_t head[2] = {skippable, static_cast<uint32_t>(table_bytes)};
  file_.write(head, sizeof head);
  file_.write(table_.data(), table_bytes);
  header_.table_checksum = hash64(table_.data(), table_bytes);
  header_.checksum = header_checksum(header_);
  file_.write_at(0, &header_, sizeof header_);
  file_.commit();
  return header_.checksum;
}

Sources::Sources(const std::string& path) : path_(path), file_(path) {
  require(file_.size() >= header_bytes,
          "{} is {} bytes long, shorter than the header of a file of sources", path, file_.size());
  std::memcpy(&header_, file_.data(), sizeof header_);
  check_header();
}

void Sources::check_header() const {
  const auto& h = header_;
  require(std::equal(std::begin(magic), std::end(magic), h.magic),
          "{} is not a file of sources: it does not say KATMANSR", path_);
  require(h.version == version, "{} is a file of sources of version {}, this program reads {}",
          path_, h.version, version);
  require(h.checksum == header_checksum(h),
          "{}: the header (bytes 0 to {}) does not match its checksum; rebuild the corpus or copy "
          "the file again",
          path_, sizeof h);
  const bool sound = h.block_documents > 0 && h.block_documents <= most_block_documents &&
                     h.documents <= file_.size() * h.block_documents &&
                     h.table_offset >= header_bytes && h.table_offset <= file_.size();
  require(sound, "{}: the header contradicts itself; rebuild the corpus", path_);
  const uint64_t table_bytes = blocks() * entry_bytes;
  const uint64_t promised = h.table_offset + frame_head_bytes + table_bytes;
  require(
      file_.size() == promised,
      "{} is {} bytes long but its header promises {}; rebuild the corpus or copy the file again",
      path_, file_.size(), promised);
  const uint32_t head[2] = {skippable, static_cast<uint32_t>(table_bytes)};
  const char* table = file_.data() + h.table_offset;
  require(std::memcmp(table, head, sizeof head) == 0 &&
              h.table_checksum == hash64(table + frame_head_bytes, table_bytes),
          "{}: the table of checksums (bytes {} to {}) is damaged; rebuild the corpus or copy the "
          "file again",
          path_, h.table_offset, file_.size());
}

uint64_t Sources::blocks() const {
  return (header_.documents + header_.block_documents - 1) / header_.block_documents;
}

uint64_t Sources::table_entry(uint64_t i) const {
  uint64_t entry;
  std::memcpy(&entry, file_.data() + header_.table_offset + frame_head_bytes + i * sizeof entry,
              sizeof entry);
  return entry;
}

std::string Sources::read_block(uint64_t block) const {
  const uint64_t begin = block == 0 ? header_bytes : table_entry(2 * block - 2);
  const uint64_t end = table_entry(2 * block);
  require(header_bytes <= begin && begin <= end && end <= header_.table_offset,
          "{}: block {} lies at bytes {} to {}; rebuild the corpus", path_, block, begin, end);
  const char* packed = file_.data() + begin;
  require(hash64(packed, end - begin) == table_entry(2 * block + 1),
          "{}: block {} (bytes {} to {}) does not match its checksum; rebuild the corpus or copy "
          "the file again",
          path_, block, begin, end);
  const uint64_t in_it = std::min<uint64_t>(header_.block_documents,
                                            header_.documents - block * header_.block_documents);
  const unsigned long long claimed = ZSTD_getFrameContentSize(packed, end - begin);
  std::string lines(claimed <= in_it * (max_source_bytes + 1) ? claimed : 0, '\0');
  const size_t n = ZSTD_decompress(lines.data(), lines.size(), packed, end - begin);
  require(n == lines.size() && lines.ends_with('\n') &&
              std::ranges::count(lines, '\n') == static_cast<ptrdiff_t>(in_it),
          "{}: block {} (bytes {} to {}) does not hold the sources of {} documents; rebuild the "
          "corpus",
          path_, block, begin, end, in_it);
  require(std::ranges::none_of(lines, [](char c) { return is_control(c) && c != '\n'; }),
          "{}: block {} holds control characters; rebuild the corpus", path_, block);
  return lines;
}

std::string Sources::of(uint64_t d) const {
  require(d < documents(), "document {} is outside the {} documents of {}", d, documents(), path_);
  const std::string lines = read_block(d / header_.block_documents);
  size_t begin = 0;
  for (uint64_t before = d % header_.block_documents; before > 0; --before)
    begin = lines.find('\n', begin) + 1;
  return lines.substr(begin, lines.find('\n', begin) - begin);
}

void Sources::verify() const {
  for (uint64_t block = 0; block < blocks(); ++block) read_block(block);
}

}  // namespace katman
