#include "orchestrator/cli/excerpt.h"

namespace katman {

std::string excerpt(std::string text, size_t bytes) {
  if (text.size() > bytes) {
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
    text.resize(bytes);
    text += " …";
  }
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3)
    text.replace(at, 1, "⏎");
  return text;
}

}  // namespace katman
