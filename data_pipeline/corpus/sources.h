// Where the documents of a token shard came from: a second file beside it, `train-00000.sources`
// for `train-00000.tokens`, with one line of text per document.
//
// The file is a sequence of zstd frames (RFC 8878), so `zstdcat train-00000.sources | sed -n 18p`
// tells the source of document 17 without this program. Ours are the two skippable frames, which
// zstdcat passes over:
//
//   offset 0      skippable frame of 56 bytes: SourcesHeader
//   then          one frame per block of 256 documents: their sources, each ended by "\n"
//   table_offset  skippable frame: per block, u64 where it ends in the file, u64 checksum (XXH3-64)
//                 of its compressed bytes
//
// A source is what names a document to a person: the address of its page, else its place in a file
// of the input (`pages.jsonl:1234`). It is UTF-8 without control characters, at most
// max_source_bytes long, and empty where it is not known. To tell one, one block is read.
//
// The header holds the checksum of the table and of itself, so that it vouches for the whole, as
// the header of a shard does. The same sources give the same bytes under one version of libzstd;
// another may compress differently.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/corpus/file.h"

namespace katman {

inline constexpr size_t max_source_bytes = 2048;

struct SourcesHeader {
  uint32_t frame_magic;  // 0x184D2A50
  uint32_t frame_bytes;  // of this header behind the first 8 bytes
  char magic[8];
  uint32_t version;
  uint32_t block_documents;
  uint64_t documents;
  uint64_t table_offset;
  uint64_t table_checksum;  // of its entries
  uint64_t checksum;        // of the header up to here
};

// Writes the sources of a shard's documents, in their order; memory: one block and 16 bytes per
// block.
class SourcesWriter {
 public:
  explicit SourcesWriter(std::string path);

  // Throws for a source that is longer than max_source_bytes or holds control characters. Empty:
  // not known.
  void add(std::string_view source);
  bool any() const { return any_; }  // one of them is known

  // Completes the file: after this it has its name. Returns the header's checksum, which names the
  // whole contents.
  uint64_t finish();

 private:
  void flush_block();

  NewFile file_;
  SourcesHeader header_{};
  std::string block_;
  std::vector<uint64_t> table_;  // [block]: end, checksum
  bool any_ = false;
};

// The same, open for reading, by any number of threads. Opening checks sizes, header and table;
// reading throws an Error naming the file and the block that is damaged.
class Sources {
 public:
  explicit Sources(const std::string& path);

  uint64_t documents() const { return header_.documents; }
  uint64_t checksum() const { return header_.checksum; }
  // That of document d < documents(); empty where it is not known.
  std::string of(uint64_t d) const;

  // Reads everything; throws an Error naming the file and the first damaged block.
  void verify() const;

 private:
  void check_header() const;
  uint64_t blocks() const;
  uint64_t table_entry(uint64_t i) const;
  // The lines of a block, checked to be as many as it has documents, and harmless.
  std::string read_block(uint64_t block) const;

  std::string path_;
  MappedFile file_;
  SourcesHeader header_;
};

}  // namespace katman
