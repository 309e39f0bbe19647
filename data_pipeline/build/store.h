// The text between the two passes of a build: cleaned documents in compressed scratch files, each
// with where it came from.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data_pipeline/corpus/file.h"

namespace katman {

// Some documents, packed one after the other. Packing and unpacking are parallel work; a store
// holds the packed frames.
class Frame {
 public:
  // For about as many bytes of text: growing to them instead would touch new memory several times.
  void reserve(size_t text_bytes) { texts_.reserve(text_bytes); }
  void add(std::string_view source, std::string_view text);
  uint64_t documents() const { return documents_; }
  using Visit = std::function<void(std::string_view source, std::string_view text)>;
  void for_each(const Visit& visit) const;

  // The texts compressed, with a header that says how long it is and how many documents it holds.
  std::string pack() const;
  // The inverse; throws naming `path` if the bytes are damaged.
  static Frame unpack(std::string_view packed, const std::string& path);

 private:
  // u32 length, bytes, u32 length, ... The sources stay as they are: compressing them takes time
  // and hardly makes them smaller.
  std::string sources_, texts_;
  uint64_t documents_ = 0;
};

// Reads packed frames from a scratch file, in order, one in memory at a time. (Mapping the file
// would be simpler and would count it as resident memory.)
class StoreReader {
 public:
  explicit StoreReader(std::string path);
  // False at the end. `documents` is how many the frame holds.
  bool next(std::string& packed, uint64_t& documents);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_;
};

}  // namespace katman
