// Learning a byte-level BPE vocabulary from text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/tokenize/pattern.h"
#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {

// How often each piece occurs in the text added so far. Memory follows the number of distinct
// pieces, not the amount of text. Not thread-safe: count with one per thread, then merge() them;
// the sum does not depend on who counted what.
class PieceCounter {
 public:
  explicit PieceCounter(Pattern pattern = Pattern::gpt2);
  ~PieceCounter();
  PieceCounter(PieceCounter&&) noexcept;
  PieceCounter& operator=(PieceCounter&&) noexcept;

  // Counts the pieces of one text.
  void add(std::string_view text);
  // Adds the counts of `other`, which must have the same pattern.
  void merge(PieceCounter&& other);

  Pattern pattern() const;
  uint64_t bytes() const;     // of text added
  uint64_t pieces() const;    // counted
  uint64_t distinct() const;  // of them

  struct Piece {
    std::string_view bytes;
    uint64_t count;
  };
  // Every distinct piece, sorted by its bytes. Valid until the next change.
  std::vector<Piece> sorted() const;

 private:
  struct Table;
  std::unique_ptr<Table> table_;
};

struct BpeOptions {
  uint32_t vocabulary = 32768;  // tokens in all: specials, the 256 bytes, and the merges
  uint64_t min_frequency = 2;   // pairs that occur less often are not merged
  std::vector<std::string> specials = {"<|endoftext|>"};  // ids 0, 1, ... in this order
};

// Learns merges greedily, the most frequent pair first, until the vocabulary is full or no pair
// occurs min_frequency times; the pattern is the counter's. Equal counts: the pair with the smaller
// left id, then the smaller right id. This is the order of Hugging Face's BpeTrainer with the full
// byte alphabet, and gives the same vocabulary and merges as long as its 32-bit counts do not
// overflow; here they are 64 bits. A pure function of the counts and the options.
Tokenizer train_bpe(const PieceCounter& counter, const BpeOptions& options);

}  // namespace katman
