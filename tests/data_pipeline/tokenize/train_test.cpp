#include "data_pipeline/tokenize/train.h"

#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "data_pipeline/tokenize/byte_alphabet.h"
#include "tests/data_pipeline/tokenize/small_tokenizer.h"

namespace katman {
namespace {

std::vector<std::string> merges_as_text(const Tokenizer& tokenizer) {
  std::vector<std::string> merges;
  for (const Merge& merge : tokenizer.parts().merges)
    merges.push_back(std::string(tokenizer.bytes(merge.left)) + "+" +
                     std::string(tokenizer.bytes(merge.right)));
  return merges;
}

TEST(Train, learns_the_most_frequent_pair_first_and_breaks_ties_by_the_smaller_ids) {
  PieceCounter counter;
  counter.add("abab cdcd cd ab xy");  // c+d, a+b: 3 each; the prefix space makes " c", " a", " x"
  const Tokenizer tokenizer = train_bpe(counter, {.vocabulary = 259, .min_frequency = 2});
  EXPECT_EQ(merges_as_text(tokenizer), (std::vector<std::string>{"a+b", "c+d"}));
}

TEST(Train, stops_when_no_pair_is_frequent_enough) {
  PieceCounter counter;
  counter.add("roses are red violets are blue");
  const Tokenizer tokenizer = train_bpe(counter, {.vocabulary = 1000, .min_frequency = 3});
  EXPECT_EQ(merges_as_text(tokenizer), (std::vector<std::string>{"r+e"}));
}

TEST(Train, round_trips_any_bytes) {
  PieceCounter counter;
  counter.add("the cat and the dog and the bird");
  const Tokenizer tokenizer = train_bpe(counter, {.vocabulary = 300});
  Encoder encoder(tokenizer);
  std::vector<uint32_t> ids;
  const std::string text = "the \xff\xc0 dog\0<|endoftext|> \xf0\x9f\x98\x80 and";
  encoder.encode(text, ids);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer.end_of_document()), 0);
}

// The definition: count all pairs from scratch for every merge.
std::vector<std::string> naive_merges(const PieceCounter& counter, size_t merges) {
  struct Word {
    std::vector<std::string> symbols;
    uint64_t count;
  };
  std::map<std::string, size_t> order;  // of creation: the ids
  for (uint8_t byte : bytes_in_alphabet_order())
    order[std::string(1, static_cast<char>(byte))] = order.size();
  std::vector<Word> words;
  for (const auto& [bytes, count] : counter.sorted()) {
    words.push_back({{}, count});
    for (char c : bytes) words.back().symbols.emplace_back(1, c);
  }
  std::vector<std::string> learned;
  while (learned.size() < merges) {
    std::map<std::pair<size_t, size_t>, uint64_t> counts;
    for (const auto& [symbols, count] : words)
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        counts[{order[symbols[i]], order[symbols[i + 1]]}] += count;
    auto best = counts.begin();  // smallest ids first, so only a larger count replaces it
    for (auto pair = counts.begin(); pair != counts.end(); ++pair)
      if (pair->second > best->second) best = pair;
    std::string left, right;
    for (const auto& [bytes, id] : order) {
      if (id == best->first.first) left = bytes;
      if (id == best->first.second) right = bytes;
    }
    for (auto& [symbols, count] : words) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i] != left || symbols[i + 1] != right) continue;
        symbols[i] += right;
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
    order.emplace(left + right, order.size());
    learned.push_back(left + "+" + right);
  }
  return learned;
}

TEST(Train, gives_the_merges_of_the_definition) {
  PieceCounter counter;
  for (uint64_t i = 0; i < 40; ++i) counter.add(testing::random_bytes_and_text(Key(9).at(i)));
  const Tokenizer tokenizer = train_bpe(counter, {.vocabulary = 257 + 150, .min_frequency = 1});
  EXPECT_EQ(merges_as_text(tokenizer), naive_merges(counter, 150));
}

TEST(Train, counting_in_parts_is_counting_the_whole) {
  PieceCounter whole;
  std::vector<PieceCounter> parts(3);
  for (uint64_t i = 0; i < 60; ++i) {
    const std::string text = testing::random_bytes_and_text(Key(10).at(i)) + std::string(i, '=');
    whole.add(text);
    parts[random_bits(Key(11), i) % parts.size()].add(text);
  }
  PieceCounter sum;
  for (size_t i : {2, 0, 1}) sum.merge(std::move(parts[i]));
  EXPECT_EQ(sum.bytes(), whole.bytes());
  EXPECT_EQ(sum.pieces(), whole.pieces());
  EXPECT_EQ(sum.distinct(), whole.distinct());
  EXPECT_EQ(train_bpe(sum, {.vocabulary = 400}).fingerprint(),
            train_bpe(whole, {.vocabulary = 400}).fingerprint());
}

TEST(Train, counts_pieces_of_every_length) {
  PieceCounter counter;
  std::map<std::string, uint64_t> expected;
  for (size_t size = 1; size < 40; ++size)
    for (size_t times = 0; times < size % 3 + 1; ++times) {
      counter.add(std::string(size, 'z'));
      ++expected[std::string(size, 'z')];
    }
  std::map<std::string, uint64_t> counted;
  for (const auto& [bytes, count] : counter.sorted()) counted[std::string(bytes)] = count;
  EXPECT_EQ(counted, expected);
}

TEST(Train, an_impossible_vocabulary_is_refused) {
  PieceCounter counter;
  EXPECT_THROW(train_bpe(counter, {.vocabulary = 256}), UsageError);
  EXPECT_EQ(train_bpe(counter, {.vocabulary = 5000}).vocabulary(), 257u) << "nothing to learn";
}

TEST(Train, a_special_token_that_text_can_spell_is_refused) {
  PieceCounter counter;
  counter.add("end end end end");
  EXPECT_THROW(train_bpe(counter, {.vocabulary = 300, .specials = {"end"}}), Error);
}

}  // namespace
}  // namespace katman
