// A token shard: one file of documents as token ids, written once, read memory-mapped.
//
//   offset 0      header, 4096 bytes: magic, version, token width, counts, largest id, the
//                 tokenizer's fingerprint, where the parts start, checksums
//   offset 4096   the tokens, u16 or u32 little-endian, padded with zeros to 8 bytes
//   then          u64 per document: where it ends, counted in tokens from the start of the shard
//   then          u64 per block of all of the above but the header: its checksum (XXH3-64)
//
// The header holds the checksum of the table of checksums and of itself, so opening finds a damaged
// header or table at once. A block is held against its checksum when it is first read: blocks are
// as small as what a disk reads at once, so that this costs one look at memory that is wanted
// anyway, and nobody trains on a flipped bit.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data_pipeline/corpus/file.h"

namespace katman {

struct ShardHeader {
  char magic[8];
  uint32_t version;
  uint32_t token_bytes;  // 2 or 4
  uint64_t tokens;
  uint64_t documents;
  uint64_t largest_id;  // 0 in an empty shard
  uint64_t ends_offset;
  uint64_t table_offset;
  uint64_t block_bytes;
  char tokenizer[64];       // fingerprint, zero-terminated
  uint64_t table_checksum;  // of the table of block checksums
  uint64_t checksum;        // of the header up to here
};

// Writes a shard document by document; memory: one block and 8 bytes per document.
class ShardWriter {
 public:
  // Ids below `vocabulary` will be written: two bytes each where they fit, four where not.
  ShardWriter(std::string path, uint64_t vocabulary, const std::string& tokenizer_fingerprint);

  // Appends one document, its end-of-document token included. Throws for an id that is not below
  // the vocabulary.
  void add(std::span<const uint32_t> document);
  uint64_t tokens() const { return header_.tokens; }
  uint64_t documents() const { return header_.documents; }

  // Completes the file: after this it has its name. Returns the header's checksum, which names the
  // whole contents.
  uint64_t finish();

 private:
  void append(const void* data, uint64_t bytes);
  void flush_block();

  NewFile file_;
  ShardHeader header_{};
  uint64_t vocabulary_;
  std::vector<char> block_;
  std::vector<uint64_t> ends_;   // [document]
  std::vector<uint64_t> table_;  // [block]
};

// A shard, open for reading. Safe to read from many threads. Opening checks what can be checked
// without reading the tokens: sizes, header, table. Reading throws an Error naming the file and the
// block that is damaged.
class Shard {
 public:
  explicit Shard(const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t tokens() const { return header_.tokens; }
  uint64_t documents() const { return header_.documents; }
  uint64_t largest_id() const { return header_.largest_id; }
  uint64_t checksum() const { return header_.checksum; }
  uint64_t bytes() const { return file_.size(); }
  uint32_t token_bytes() const { return header_.token_bytes; }
  std::string tokenizer_fingerprint() const { return header_.tokenizer; }

  uint32_t token(uint64_t position) const;
  // Tokens [first, first + out.size()); the range lies in the shard.
  void copy(uint64_t first, std::span<int32_t> out) const;
  // Where document d starts and ends; d < documents().
  uint64_t document_begin(uint64_t d) const { return d == 0 ? 0 : document_end(d - 1); }
  uint64_t document_end(uint64_t d) const;
  // The document that holds the token at `position` < tokens().
  uint64_t document_of(uint64_t position) const;

  // Reads everything; throws an Error naming the file and the first damaged block.
  void verify() const;

 private:
  void check_header() const;
  uint64_t blocks() const;
  // Holds the blocks under these bytes of the file against their checksums, once each.
  void trust(uint64_t begin, uint64_t bytes) const;
  void check_block(uint64_t block) const;
  void check_contents() const;

  std::string path_;
  MappedFile file_;
  ShardHeader header_;
  std::unique_ptr<std::atomic<bool>[]> trusted_;  // [block]
};

}  // namespace katman
