#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "data_pipeline/read/bytes.h"

namespace katman {
namespace {

// The two ways through a member share one window on the compressed bytes. Web archives hold one
// member per record, a few tens of kilobytes each: libdeflate takes those whole, about twice as
// fast as zlib. A member that does not fit goes through zlib, and so does the one after it, until
// one turns out to have been small enough: files are alike inside, and a wrong guess costs at most
// `whole_in` bytes of inflating twice.
class Gunzip : public ByteSource {
 public:
  Gunzip(std::unique_ptr<ByteSource> from, const std::string& path)
      : in_(std::move(from)), path_(path), whole_(libdeflate_alloc_decompressor()) {
    require(whole_ != nullptr && inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK,
            "no memory to decompress {}", path);
  }
  ~Gunzip() override {
    libdeflate_free_decompressor(whole_);
    inflateEnd(&stream_);
  }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  size_t read(char* to, size_t room) override {
    while (true) {
      if (given_ < ready_) {
        const size_t count = std::min(room, ready_ - given_);
        std::memcpy(to, member_.data() + given_, count);
        given_ += count;
        return count;
      }
      if (!inside_) {
        if (!start_member()) return 0;
        if (guess_small_ && inflate_whole()) continue;
        begin_streaming();
      }
      if (const size_t got = inflate_some(to, room)) return got;
    }
  }
  uint64_t bytes_in() const override { return in_.bytes_in(); }

 private:
  static constexpr size_t whole_in = size_t{256} << 10, whole_out = size_t{2} << 20;

  // False at the end of the file.
  bool start_member() {
    if (in_.at_end()) return false;
    const std::string_view head = in_.peek(2);
    if (head.substr(0, 2) == "\x1f\x8b") return true;
    while (!in_.at_end()) {
      const std::string_view rest = in_.peek(1);
      require(rest.find_first_not_of('\0') == std::string_view::npos,
              "{} has something that is not gzip behind a gzip member, at byte {}", path_,
              in_.offset());
      in_.consume(rest.size());
    }
    return false;
  }

  // One member, from the window to member_, or false with nothing changed.
  bool inflate_whole() {
    const std::string_view in = in_.peek(whole_in);
    member_.resize(whole_out);
    size_t used = 0, made = 0;
    if (libdeflate_gzip_decompress_ex(whole_, in.data(), in.size(), member_.data(), member_.size(),
                                      &used, &made) != LIBDEFLATE_SUCCESS)
      return false;
    in_.consume(used);
    given_ = 0;
    ready_ = made;
    return true;
  }

  void begin_streaming() {
    require(inflateReset(&stream_) == Z_OK, "cannot decompress {}", path_);
    inside_ = true;
    member_in_ = member_out_ = 0;
  }

  // Returns 0 only when the member has ended.
  size_t inflate_some(char* to, size_t room) {
    room = std::min<size_t>(room, size_t{1} << 30);
    while (true) {
      const std::string_view in = in_.peek(1);
      if (in.empty()) {
        in_.check();
        fail("{} is truncated: the gzip member that ends the file breaks off at byte {}", path_,
             in_.offset());
      }
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
      stream_.avail_in = static_cast<uInt>(in.size());
      stream_.next_out = reinterpret_cast<Bytef*>(to);
      stream_.avail_out = static_cast<uInt>(room);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      const size_t used = in.size() - stream_.avail_in, made = room - stream_.avail_out;
      in_.consume(used);
      member_in_ += used;
      member_out_ += made;
      if (result == Z_STREAM_END) {
        inside_ = false;
        guess_small_ = member_in_ <= whole_in && member_out_ <= whole_out;
        return made;
      }
      require(result == Z_OK || result == Z_BUF_ERROR, "{} is damaged: gzip data near byte {}: {}",
              path_, in_.offset(), stream_.msg ? stream_.msg : "cannot be inflated");
      if (made > 0) return made;
    }
  }

  ByteWindow in_;
  std::string path_;
  libdeflate_decompressor* whole_;
  z_stream stream_{};
  std::vector<char>
      member_;  // one small member, decompressed; [given_, ready_) is still to be given
  size_t given_ = 0, ready_ = 0;
  bool inside_ = false;  // a member that zlib has begun
  bool guess_small_ = true;
  uint64_t member_in_ = 0, member_out_ = 0;
};

}  // namespace

std::unique_ptr<ByteSource> gunzip(std::unique_ptr<ByteSource> from, const std::string& path) {
  return std::make_unique<Gunzip>(std::move(from), path);
}

}  // namespace katman
