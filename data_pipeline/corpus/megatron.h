// Token data in Megatron-LM's format (megatron/core/datasets/indexed_dataset.py): PREFIX.bin holds
// the ids of all documents one after the other, PREFIX.idx says how wide they are and where each
// document lies. Written by most tools that prepare data for GPTs, read by most that train them.
//
//   PREFIX.idx: "MMIDIDX\0\0", u64 version 1, u8 type of an id, u64 sequences, u64 entries,
//               i32 length of each sequence in ids, i64 its first byte in PREFIX.bin,
//               i64 entries: the first sequence of each document, then the number of sequences
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data_pipeline/corpus/file.h"

namespace katman {

// Writes PREFIX.bin as documents come and PREFIX.idx last; each document is one sequence. Memory:
// 12 bytes per document.
class MegatronWriter {
 public:
  // Ids below `vocabulary` will be written: in 16 bits below 65500 as Megatron does, else in 32.
  MegatronWriter(const std::string& prefix, uint64_t vocabulary);
  void add(std::span<const int32_t> document);
  void finish();

 private:
  std::string prefix_;
  bool narrow_;
  NewFile ids_;
  std::vector<int32_t> lengths_;  // [document]
  std::vector<int64_t> begins_;   // [document], bytes
};

// An open PREFIX.bin and PREFIX.idx. Opening checks that every sequence lies in the file.
class MegatronReader {
 public:
  explicit MegatronReader(const std::string& prefix);

  uint64_t documents() const { return documents_; }
  // The ids of document d, its sequences one after the other. Throws Error for an id that is not in
  // [0, vocabulary).
  std::vector<uint32_t> document(uint64_t d, uint64_t vocabulary) const;

 private:
  // The i-th number of a table of the index.
  template <class T>
  T entry(uint64_t table, uint64_t i) const;
  int64_t id(uint64_t at) const;

  std::string prefix_;
  MappedFile index_, ids_;
  uint64_t sequences_ = 0, documents_ = 0;
  uint64_t lengths_ = 0, begins_ = 0, starts_ = 0;  // tables, as bytes of the index
  uint64_t width_ = 0;                              // bytes of an id
  bool is_signed_ = false;
};

}  // namespace katman
