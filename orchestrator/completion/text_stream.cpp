#include "orchestrator/completion/text_stream.h"

#include <algorithm>

#include "data_pipeline/clean/utf8.h"

namespace katman {
namespace {

// How many of the last bytes might grow into `stop`.
size_t beginning_of(std::string_view stop, std::string_view text) {
  for (size_t length = std::min(stop.size() - 1, text.size()); length > 0; --length)
    if (text.ends_with(stop.substr(0, length))) return length;
  return 0;
}

}  // namespace

std::string TextStream::give(size_t end) {
  const std::string text = bytes_.substr(given_, end - std::min(end, given_));
  given_ = std::max(given_, end);
  return text;
}

std::string TextStream::add(std::string_view bytes) {
  if (stopped_) return {};
  bytes_ += bytes;
  size_t found = std::string::npos, held = incomplete_utf8_bytes(bytes_);
  for (const std::string& stop : stops_) {
    found = std::min(found, bytes_.find(stop, given_));
    held = std::max(held, beginning_of(stop, bytes_));
  }
  stopped_ = found != std::string::npos;
  return give(stopped_ ? found : bytes_.size() - held);
}

std::string TextStream::finish() { return stopped_ ? std::string() : give(bytes_.size()); }

}  // namespace katman
