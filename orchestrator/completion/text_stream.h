// The text of a completion as it grows: whole characters, up to where it was to stop.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace katman {

// Bytes go in as tokens come; text comes out as soon as nothing can change it any more: a character
// is complete, and what might be the beginning of a stop string has turned out not to be one.
class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops = {}) : stops_(std::move(stops)) {}

  // Returns what became certain. Once a stop string has appeared, it and all behind it are gone.
  std::string add(std::string_view bytes);
  bool stopped() const { return stopped_; }
  // What was still held back, when no more will come.
  std::string finish();
  // All that was given out.
  std::string text() const { return bytes_.substr(0, given_); }

 private:
  std::string give(size_t end);
  std::vector<std::string> stops_;
  std::string bytes_;
  size_t given_ = 0;
  bool stopped_ = false;
};

}  // namespace katman
