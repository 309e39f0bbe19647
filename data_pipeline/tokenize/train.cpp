#include "data_pipeline/tokenize/train.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "core/error.h"
#include "data_pipeline/tokenize/byte_alphabet.h"
#include "data_pipeline/tokenize/pair_map.h"

namespace katman {
namespace {

// The distinct pieces as sequences of ids that shrink as merges are learned.
struct Words {
  explicit Words(const std::vector<PieceCounter::Piece>& pieces,
                 const std::array<uint32_t, 256>& byte_ids) {
    begin.push_back(0);
    for (const auto& [bytes, occurrences] : pieces) {
      for (char c : bytes) symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
      begin.push_back(symbols.size());
      size.push_back(static_cast<uint32_t>(bytes.size()));
      count.push_back(static_cast<int64_t>(occurrences));
    }
  }
  std::vector<uint32_t> symbols;
  std::vector<size_t> begin;   // [word] into symbols
  std::vector<uint32_t> size;  // [word] symbols left
  std::vector<int64_t> count;  // [word] how often it occurs in the text
};

// A pair that may be merged next, with the words in which it was seen. Its count may be out of
// date; it is compared with the true one when the candidate comes up.
struct Candidate {
  int64_t count;
  uint64_t pair;
  uint32_t list;
  bool operator<(const Candidate& other) const {  // the largest comes up first
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

uint64_t pair_of(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// Every merge costs as much as there are words with the pair, so all of training costs as much as
// the distinct pieces have symbols, times a few.
class Trainer {
 public:
  Trainer(Words words, const BpeOptions& options, TokenizerParts parts)
      : words_(std::move(words)), options_(options), parts_(std::move(parts)) {
    for (uint32_t id = 0; id < parts_.tokens.size(); ++id) ids_.emplace(parts_.tokens[id], id);
    for (uint32_t word = 0; word < words_.size.size(); ++word) {
      const uint32_t* at = &words_.symbols[words_.begin[word]];
      for (size_t i = 0; i + 1 < words_.size[word]; ++i) gain(pair_of(at[i], at[i + 1]), word);
    }
    end_round();
  }

  TokenizerParts run() {
    const auto enough = static_cast<int64_t>(std::max<uint64_t>(options_.min_frequency, 1));
    while (parts_.tokens.size() < options_.vocabulary && !candidates_.empty()) {
      Candidate best = candidates_.top();
      candidates_.pop();
      const int64_t count = pairs_[best.pair].count;
      if (best.count != count) {
        best.count = count;
        candidates_.push(best);
        continue;
      }
      if (count < enough) break;
      learn(best);
    }
    drop_repeated_merges();
    return std::move(parts_);
  }

 private:
  void learn(const Candidate& best) {
    const auto left = static_cast<uint32_t>(best.pair >> 32);
    const auto right = static_cast<uint32_t>(best.pair);
    const uint32_t joined = id_of(parts_.tokens[left] + parts_.tokens[right]);
    parts_.merges.push_back({left, right, joined});
    ++round_;
    const std::vector<uint32_t> words = std::move(lists_[best.list]);
    free_lists_.push_back(best.list);
    for (uint32_t word : words) merge_in(word, left, right, joined);
    end_round();
  }

  // Two merges can give the same token ("ab" + "c", "a" + "bc"): then it keeps its id.
  uint32_t id_of(const std::string& bytes) {
    const auto [found, fresh] = ids_.emplace(bytes, static_cast<uint32_t>(parts_.tokens.size()));
    if (fresh) parts_.tokens.push_back(bytes);
    require(fresh || found->second >= options_.specials.size(),
            "the special token {} is learned from the text as well; give it a name that the "
            "pattern {} would cut apart, such as <|{}|>",
            bytes, name_of(parts_.pattern), bytes);
    return found->second;
  }

  void merge_in(uint32_t word, uint32_t left, uint32_t right, uint32_t joined) {
    uint32_t* at = &words_.symbols[words_.begin[word]];
    uint32_t& size = words_.size[word];
    uint32_t kept = 0;  // symbols before this are done
    for (uint32_t i = 0; i < size; ++kept) {
      if (i + 1 == size || at[i] != left || at[i + 1] != right) {
        at[kept] = at[i++];
        continue;
      }
      if (kept > 0) {
        lose(pair_of(at[kept - 1], left), word);
        gain(pair_of(at[kept - 1], joined), word);
      }
      i += 2;
      if (i < size) {
        lose(pair_of(right, at[i]), word);
        gain(pair_of(joined, at[i]), word);
      }
      at[kept] = joined;
    }
    size = kept;
  }

  void lose(uint64_t pair, uint32_t word) { pairs_[pair].count -= words_.count[word]; }

  void gain(uint64_t pair, uint32_t word) {
    PairMap::Info& info = pairs_[pair];
    info.count += words_.count[word];
    if (info.round != round_) {
      info.round = round_;
      info.list = new_list();
      gained_.push_back(pair);
    }
    std::vector<uint32_t>& list = lists_[info.list];
    if (list.empty() || list.back() != word) list.push_back(word);
  }

  uint32_t new_list() {
    if (free_lists_.empty()) {
      lists_.emplace_back();
      return static_cast<uint32_t>(lists_.size() - 1);
    }
    const uint32_t list = free_lists_.back();
    free_lists_.pop_back();
    return list;
  }

  void end_round() {
    for (uint64_t pair : gained_) {
      const PairMap::Info& info = pairs_[pair];
      if (info.count > 0) {
        candidates_.push({info.count, pair, info.list});
      } else {
        lists_[info.list] = {};
        free_lists_.push_back(info.list);
      }
    }
    gained_.clear();
  }

  // A token that is reached in two ways can bring a pair up twice. Only its last rank counts.
  void drop_repeated_merges() {
    std::unordered_map<uint64_t, size_t> last;
    for (size_t i = 0; i < parts_.merges.size(); ++i)
      last[pair_of(parts_.merges[i].left, parts_.merges[i].right)] = i;
    std::vector<Merge> kept;
    for (size_t i = 0; i < parts_.merges.size(); ++i)
      if (last[pair_of(parts_.merges[i].left, parts_.merges[i].right)] == i)
        kept.push_back(parts_.merges[i]);
    parts_.merges = std::move(kept);
  }

  Words words_;
  const BpeOptions& options_;
  TokenizerParts parts_;
  std::unordered_map<std::string, uint32_t> ids_;  // by bytes
  PairMap pairs_;
  std::priority_queue<Candidate> candidates_;
  std::vector<std::vector<uint32_t>> lists_;  // [list] words
  std::vector<uint32_t> free_lists_;
  std::vector<uint64_t> gained_;  // the pairs that occur somewhere new since this round began
  uint32_t round_ = 1;
};

}  // namespace

Tokenizer train_bpe(const PieceCounter& counter, const BpeOptions& options) {
  const size_t least = options.specials.size() + 256;
  require_usage(
      options.vocabulary >= least && options.vocabulary <= MergeTable::max_ids,
      "a vocabulary of {} tokens is not possible; with {} special tokens and 256 bytes it "
      "has {} to {}",
      options.vocabulary, options.specials.size(), least, MergeTable::max_ids);
  TokenizerParts parts;
  parts.pattern = counter.pattern();
  for (const std::string& name : options.specials) {
    parts.specials.push_back({name, static_cast<uint32_t>(parts.tokens.size())});
    parts.tokens.push_back(name);
  }
  std::array<uint32_t, 256> byte_ids;
  for (uint8_t byte : bytes_in_alphabet_order()) {
    byte_ids[byte] = static_cast<uint32_t>(parts.tokens.size());
    parts.tokens.emplace_back(1, static_cast<char>(byte));
  }
  Trainer trainer(Words(counter.sorted(), byte_ids), options, std::move(parts));
  return Tokenizer(trainer.run());
}

}  // namespace katman
