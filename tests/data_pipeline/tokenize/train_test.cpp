#include "data_pipeline/tokenize/train.h"

#include <gtest/gtest.h>

#include "data_pipeline/tokenize/tokenizer.h"
#include "tests/support/temp_dir.h"

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

}  // namespace
}  // namespace katman
