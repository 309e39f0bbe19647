#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "data_pipeline/read/bytes.h"

namespace katman {
namespace {

constexpr std::string_view dictionary_magic = "\x5d\x2a\x4d\x18";

class Unzstd : public ByteSource {
 public:
  Unzstd(std::unique_ptr<ByteSource> from, const std::string& path)
      : in_(std::move(from)), path_(path), stream_(ZSTD_createDCtx()) {
    require(stream_ != nullptr, "no memory to decompress {}", path);
    if (in_.peek(8).substr(0, 4) == dictionary_magic) load_dictionary();
  }
  ~Unzstd() override { ZSTD_freeDCtx(stream_); }
  Unzstd(const Unzstd&) = delete;
  Unzstd& operator=(const Unzstd&) = delete;

  size_t read(char* to, size_t room) override {
    ZSTD_outBuffer out{to, room, 0};
    while (true) {
      const std::string_view bytes = in_.peek(1);
      if (bytes.empty() && !pending_) {
        in_.check();
        require(frame_done_, "{} is truncated: its last zstd frame breaks off at byte {}", path_,
                in_.offset());
        return 0;
      }
      ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
      const size_t left = ZSTD_decompressStream(stream_, &out, &in);
      require(!ZSTD_isError(left), "{} is damaged: zstd data near byte {}: {}", path_, in_.offset(),
              ZSTD_getErrorName(left));
      in_.consume(in.pos);
      if (in.pos + out.pos > 0) frame_done_ = left == 0;
      pending_ = out.pos == out.size && !frame_done_;  // there may be more than there was room for
      if (out.pos > 0) return out.pos;
    }
  }
  uint64_t bytes_in() const override { return in_.bytes_in(); }

 private:
  // The frame's content is the dictionary, or a zstd frame that holds it.
  void load_dictionary() {
    constexpr size_t most = size_t{64} << 20;
    uint32_t size;
    require(in_.peek(8).size() >= 8, "{} is truncated inside its dictionary", path_);
    std::memcpy(&size, in_.peek(8).data() + 4, sizeof size);
    require(size <= most, "{} claims a dictionary of {} bytes; at most {} are read", path_, size,
            most);
    in_.consume(8);
    std::string dictionary(in_.peek(size).substr(0, size));
    require(dictionary.size() == size, "{} is truncated inside its dictionary", path_);
    in_.consume(size);
    if (dictionary.starts_with("\x28\xb5\x2f\xfd")) {
      const auto full = ZSTD_getFrameContentSize(dictionary.data(), dictionary.size());
      require(full <= most, "{} has a compressed dictionary of unknown or too large size", path_);
      std::string plain(full, '\0');
      const size_t got =
          ZSTD_decompressDCtx(stream_, plain.data(), full, dictionary.data(), dictionary.size());
      require(got == full, "{} has a damaged dictionary", path_);
      dictionary = std::move(plain);
    }
    require(!ZSTD_isError(ZSTD_DCtx_loadDictionary(stream_, dictionary.data(), dictionary.size())),
            "{} has a dictionary that zstd refuses", path_);
  }

  ByteWindow in_;
  std::string path_;
  ZSTD_DCtx* stream_;
  bool frame_done_ = true, pending_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> unzstd(std::unique_ptr<ByteSource> from, const std::string& path) {
  return std::make_unique<Unzstd>(std::move(from), path);
}

}  // namespace katman
