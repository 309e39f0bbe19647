#include "core/pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

#include "core/error.h"

namespace katman {
namespace {

Pool heap(int64_t limit_bytes = INT64_MAX) {
  auto left = std::make_shared<int64_t>(limit_bytes);
  return Pool(
      [left](int64_t bytes) {
        if (bytes > *left) return static_cast<std::byte*>(nullptr);
        *left -= bytes;
        return new std::byte[static_cast<size_t>(bytes)];
      },
      [](std::byte* block) { delete[] block; });
}

TEST(Pool, what_came_back_serves_the_next_request) {
  Pool pool = heap();
  for (int step = 0; step < 5; ++step) {
    const auto a = pool.take(1000), b = pool.take(5000), c = pool.take(1001);
    EXPECT_GE(a->bytes, 1000);
  }
  const auto usage = pool.usage();
  EXPECT_EQ(usage.device_calls, 3);
  EXPECT_EQ(usage.in_use_bytes, 0);
  EXPECT_GE(usage.held_bytes, 7001);
}

TEST(Pool, no_request_wastes_more_than_an_eighth) {
  Pool pool = heap();
  for (int64_t bytes = 2048; bytes < 2'000'000; bytes += bytes / 37 + 1) {
    const auto buffer = pool.take(bytes);
    ASSERT_GE(buffer->bytes, bytes);
    ASSERT_LE(static_cast<double>(buffer->bytes), 1.125 * static_cast<double>(bytes)) << bytes;
  }
}

TEST(Pool, the_peak_is_the_most_in_use_at_once_since_it_was_reset) {
  Pool pool = heap();
  const auto first = pool.take(1024);
  { const auto second = pool.take(2048), third = pool.take(2048); }
  EXPECT_EQ(pool.usage().peak_bytes, 1024 + 2 * 2048);
  pool.reset_peak();
  EXPECT_EQ(pool.usage().peak_bytes, 1024);
}

TEST(Pool, a_buffer_outlives_its_pool) {
  std::optional<Pool> pool = heap();
  const auto buffer = pool->take(1024);
  pool.reset();
  buffer->data[1023] = std::byte{7};
  EXPECT_EQ(buffer->data[1023], std::byte{7});
}

TEST(Pool, memory_that_is_not_there_is_an_error_that_says_what_is_in_use) {
  Pool pool = heap(4096);
  const auto some = pool.take(2048);
  try {
    const auto more = pool.take(4096);
    FAIL() << "4096 bytes were found where only 2048 are left";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("4096 more bytes"), std::string::npos) << message;
    EXPECT_NE(message.find("2048 are in use"), std::string::npos) << message;
  }
  EXPECT_EQ(pool.usage().in_use_bytes, 2048);
}

TEST(Pool, free_memory_of_other_sizes_is_given_back_before_a_request_fails) {
  int64_t held = 0;
  Pool pool(
      [&](int64_t bytes) -> std::byte* {
        if (held + bytes > 4096) return nullptr;
        held += bytes;
        return new std::byte[static_cast<size_t>(bytes)];
      },
      [&](std::byte* block) {
        held -= 1024;
        delete[] block;
      });
  const auto kept = pool.take(1024);
  for (int i = 0; i < 2; ++i) std::vector{pool.take(1024), pool.take(1024), pool.take(1024)};
  const auto large = pool.take(3072);
  EXPECT_EQ(pool.usage().held_bytes, 4096);
  EXPECT_EQ(pool.usage().in_use_bytes, 4096);
  EXPECT_THROW(pool.take(256), Error);
}

TEST(Pool, threads_share_it) {
  Pool pool = heap();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&pool, t] {
        for (int i = 0; i < 500; ++i) {
          const auto buffer = pool.take(256 + 64 * ((i + t) % 7));
          buffer->data[0] = static_cast<std::byte>(t);
          ASSERT_EQ(buffer->data[0], static_cast<std::byte>(t));
        }
      });
  }
  EXPECT_EQ(pool.usage().in_use_bytes, 0);
}

}  // namespace
}  // namespace katman
