#include "orchestrator/control/metrics.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "orchestrator/control/clock.h"
#include "proto/tensorboard.pb.h"

namespace katman {
namespace {

static_assert(std::endian::native == std::endian::little,
              "frames are written as they lie in memory");

// CRC-32C (Castagnoli), reflected, polynomial 0x1EDC6F41: a table of one byte's remainders.
constexpr std::array<uint32_t, 256> crc_table = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit)
      remainder = (remainder >> 1) ^ ((remainder & 1) ? 0x82f63b78u : 0u);
    table[byte] = remainder;
  }
  return table;
}();

// TFRecord's masked checksum: rotated and offset, so that a checksum of checksums is not
// degenerate.
uint32_t masked_crc(const char* bytes, size_t count) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < count; ++i)
    crc = (crc >> 8) ^ crc_table[(crc ^ static_cast<uint8_t>(bytes[i])) & 0xff];
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

template <class T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

JsonLines::JsonLines(const std::string& path, uint64_t generation)
    : path_(path), generation_(generation), out_(path, std::ios::app) {
  require(out_.good(), "cannot write metrics to {}", path);
}

void JsonLines::write(int64_t step, const Scalars& scalars) {
  nlohmann::ordered_json line = {
      {"step", step}, {"generation", generation_}, {"time", unix_now()}};
  for (const auto& [name, value] : scalars)
    line[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  out_ << line.dump() << '\n' << std::flush;
  require(out_.good(), "cannot write metrics to {}: is the disk full?", path_);
}

TensorBoard::TensorBoard(const std::string& directory)
    : path_(fmt::format("{}/events.out.tfevents.{}.{}", directory,
                        static_cast<int64_t>(unix_now()), getpid())),
      out_(path_, std::ios::binary | std::ios::app) {
  require(out_.good(), "cannot write TensorBoard events to {}", path_);
  tensorboard::Event event;
  event.set_wall_time(unix_now());
  event.set_file_version("brain.Event:2");
  frame(event.SerializeAsString());
}

void TensorBoard::write(int64_t step, const Scalars& scalars) {
  tensorboard::Event event;
  event.set_wall_time(unix_now());
  event.set_step(step);
  for (const auto& [name, value] : scalars) {
    auto* entry = event.mutable_summary()->add_value();
    entry->set_tag(name);
    entry->set_simple_value(static_cast<float>(value));
  }
  frame(event.SerializeAsString());
}

void TensorBoard::frame(const std::string& payload) {
  std::string bytes;
  append(bytes, static_cast<uint64_t>(payload.size()));
  append(bytes, masked_crc(bytes.data(), bytes.size()));
  bytes += payload;
  append(bytes, masked_crc(payload.data(), payload.size()));
  out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out_.flush();
  require(out_.good(), "cannot write TensorBoard events to {}: is the disk full?", path_);
}

}  // namespace katman
