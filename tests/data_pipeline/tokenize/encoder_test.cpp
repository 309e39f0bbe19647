#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "data_pipeline/tokenize/tokenizer.h"
#include "tests/data_pipeline/tokenize/small_tokenizer.h"

namespace katman {
namespace {
using testing::ids_of;
using testing::random_bytes_and_text;
using testing::small_tokenizer;

// The definition: cut into pieces; in each, merge the leftmost pair of lowest rank until none is
// left. Quadratic, without tables or caches.
class NaiveEncoder {
 public:
  explicit NaiveEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    const auto& merges = tokenizer.parts().merges;
    for (size_t rank = 0; rank < merges.size(); ++rank)
      ranks_[{merges[rank].left, merges[rank].right}] = rank;
    for (uint32_t id = 0; id < tokenizer.vocabulary(); ++id)
      if (tokenizer.bytes(id).size() == 1) byte_ids_[tokenizer.bytes(id)[0]] = id;
  }

  std::vector<uint32_t> encode(std::string_view text) const {
    std::vector<uint32_t> out;
    const char* begin = text.data();
    const char* end[1];
    PieceScanner scanner(tokenizer_.parts().pattern, text);
    while (scanner.next(end)) {
      const auto ids = merge({begin, end[0]});
      out.insert(out.end(), ids.begin(), ids.end());
      begin = end[0];
    }
    return out;
  }

 private:
  std::vector<uint32_t> merge(std::string_view piece) const {
    std::vector<uint32_t> ids;
    for (char c : piece) ids.push_back(byte_ids_.at(c));
    while (true) {
      size_t best = SIZE_MAX, at = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = ranks_.find({ids[i], ids[i + 1]});
        if (found != ranks_.end() && found->second < best) best = found->second, at = i;
      }
      if (best == SIZE_MAX) return ids;
      ids[at] = tokenizer_.parts().merges[best].result;
      ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
    }
  }

  const Tokenizer& tokenizer_;
  std::map<std::pair<uint32_t, uint32_t>, size_t> ranks_;
  std::map<char, uint32_t> byte_ids_;
};

TEST(Encoder, gives_the_ids_of_the_definition_and_decodes_to_the_same_bytes) {
  for (Pattern pattern : all_patterns) {
    const Tokenizer tokenizer = small_tokenizer(pattern);
    const NaiveEncoder naive(tokenizer);
    Encoder encoder(tokenizer);
    for (uint64_t round = 0; round < 1000; ++round) {
      const std::string text = random_bytes_and_text(Key(3).at(round));
      std::vector<uint32_t> ids;
      encoder.encode(text, ids);
      ASSERT_EQ(ids, naive.encode(text))
          << name_of(pattern) << ", text of Key(3).at(" << round << ")";
      ASSERT_EQ(tokenizer.decode(ids), text);
    }
  }
}

TEST(Encoder, appends_and_takes_an_empty_text) {
  const Tokenizer tokenizer = small_tokenizer();
  Encoder encoder(tokenizer);
  std::vector<uint32_t> ids = {7};
  encoder.encode("", ids);
  EXPECT_EQ(ids, std::vector<uint32_t>{7});
  encoder.encode("dog", ids);
  EXPECT_GT(ids.size(), 1u);
  EXPECT_EQ(ids[0], 7u);
}

// More distinct pieces than the cache has places, some of them twice in a row and some long.
TEST(Encoder, does_not_depend_on_what_its_cache_has_seen) {
  const Tokenizer tokenizer = small_tokenizer();
  Encoder used(tokenizer);
  std::vector<uint32_t> ids;
  for (uint64_t i = 0; i < 40000; ++i) {
    std::string text;
    for (uint64_t j = 0; j < 10; ++j) {
      const uint64_t bits = random_bits(Key(4), 10 * i + j);
      text += ' ';
      for (uint64_t k = 0; k < 3 + (bits & 15); ++k)
        text += static_cast<char>('a' + (bits >> (4 + 3 * k) & 7));
    }
    ids.clear();
    used.encode(text + text, ids);
    if (i % 1000 == 999) {
      ASSERT_EQ(ids, ids_of(tokenizer, text + text));
    }
  }
}

TEST(Encoder, never_finds_a_special_token_in_text) {
  const Tokenizer tokenizer = small_tokenizer();
  const auto ids = ids_of(tokenizer, "a<|endoftext|>b<|endoftext|>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer.end_of_document()), 0);
  EXPECT_EQ(tokenizer.decode(ids), "a<|endoftext|>b<|endoftext|>");
}

TEST(Encoder, one_for_each_thread_of_the_same_tokenizer_gives_the_same_ids) {
  const Tokenizer tokenizer = small_tokenizer();
  std::vector<std::vector<uint32_t>> ids(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : ids)
      threads.emplace_back([&] {
        Encoder encoder(tokenizer);
        for (uint64_t i = 0; i < 50; ++i) encoder.encode(random_bytes_and_text(Key(5).at(i)), mine);
      });
  }
  for (const auto& mine : ids) EXPECT_EQ(mine, ids[0]);
}

TEST(Encoder, survives_the_tokenizer_it_was_made_from) {
  Encoder encoder(small_tokenizer());
  std::vector<uint32_t> ids;
  encoder.encode("the dog", ids);
  EXPECT_EQ(small_tokenizer().decode(ids), "the dog");
}

// A quadratic encoder would need the better part of an hour.
TEST(Encoder, takes_a_piece_of_a_million_bytes) {
  PieceCounter counter;
  counter.add(std::string(4096, 'x'));
  const Tokenizer tokenizer = train_bpe(counter, {.vocabulary = 266, .min_frequency = 1});
  const std::string text(1'000'003, 'x');
  const auto ids = ids_of(tokenizer, text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(ids.size(), 2000u);
}

}  // namespace
}  // namespace katman
