#include "data_pipeline/examples/examples.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/error.h"
#include "data_pipeline/read/bytes.h"

namespace katman {
namespace {

std::string read_whole(const std::string& path) {
  const auto source = open_bytes(path);
  std::string text;
  constexpr size_t room = 1 << 20;
  for (size_t got = room; got > 0; text.resize(text.size() - room + got)) {
    text.resize(text.size() + room);
    got = source->read(text.data() + text.size() - room, room);
  }
  return text;
}

// Calls use(line, number) for every line that is not blank.
template <class Use>
void for_each_line(const std::string& path, const Use& use) {
  const std::string text = read_whole(path);
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) use(line, number);
    begin = end + 1;
  }
}

// A sequence under way: tokens by segment, so that each can be shortened.
using Parts = std::vector<std::vector<int32_t>>;

Parts encode(const std::vector<Segment>& sequence, const Tokenizer& tokenizer, Encoder& encoder) {
  Parts parts;
  std::vector<uint32_t> ids;
  for (const Segment& segment : sequence) {
    ids.clear();
    if (segment.mark)
      ids.push_back(tokenizer.special(segment.text).value());
    else
      encoder.encode(segment.text, ids);
    auto& part = parts.emplace_back();
    for (const uint32_t id : ids) {
      const auto token = static_cast<int32_t>(id);
      part.push_back(segment.counted ? ~token : token);
    }
  }
  return parts;
}

int64_t size_of(const Parts& parts) {
  int64_t size = 0;
  for (const auto& part : parts) size += static_cast<int64_t>(part.size());
  return size;
}

// Gives up tokens from the beginning of everything.
void shorten_front(Parts& parts, int64_t excess, bool completion) {
  for (auto& part : parts) {
    const auto gone = std::min(excess, static_cast<int64_t>(part.size()));
    require(!completion || gone == 0 || part.front() >= 0,
            "the completion alone has {} tokens more than a sequence can hold; shorten it", excess);
    part.erase(part.begin(), part.begin() + gone);
    excess -= gone;
  }
}

// Gives up tokens at the ends of texts, of the longest first. Marks are single tokens.
void shorten_ends(Parts& parts, int64_t excess) {
  for (; excess > 0; --excess) {
    auto& longest = *std::ranges::max_element(parts, {}, &std::vector<int32_t>::size);
    require(longest.size() > 1, "a sequence cannot hold the marks of the task");
    longest.pop_back();
  }
}

bool is_number(const std::string& text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The names that occur, in order: as numbers where all of them are.
std::vector<std::string> sorted_names(const std::vector<std::string>& found) {
  const std::set<std::string> distinct(found.begin(), found.end());
  std::vector<std::string> names(distinct.begin(), distinct.end());
  int64_t number = 0;
  if (std::ranges::all_of(names, [&](const auto& name) { return is_number(name, number); }))
    std::ranges::sort(names, {}, [&](const auto& name) { return is_number(name, number), number; });
  return names;
}

}  // namespace

Examples Examples::read(const std::vector<std::string>& files, const ExampleFormat& format,
                        const Tokenizer& tokenizer) {
  Examples examples;
  Encoder encoder(tokenizer);
  const std::string end(tokenizer.bytes(tokenizer.end_of_document()));
  std::vector<std::string> labels, places;  // [example]
  for (const std::string& file : files)
    for_each_line(file, [&](std::string_view line, size_t number) {
      try {
        const Record record = parse_record(line, format.task, end);
        examples.add(record, format, tokenizer, encoder);
        labels.push_back(record.label);
        places.push_back(fmt::format("{}, line {}", file, number));
      } catch (const Error& error) {
        fail("{}, line {}: {}", file, number, error.what());
      }
    });
  require(examples.size() > 0, "{} has no examples", fmt::join(files, ", "));
  if (has_head(format.task) && format.task != FinetuneTask::multiple_choice)
    examples.name_labels(format, labels, places);
  return examples;
}

void Examples::add(const Record& record, const ExampleFormat& format, const Tokenizer& tokenizer,
                   Encoder& encoder) {
  for (const auto& sequence : record.sequences) {
    Parts parts = encode(sequence, tokenizer, encoder);
    const int64_t excess = size_of(parts) - format.most_tokens;
    if (excess > 0) {
      ++shortened_;
      if (has_head(format.task))
        shorten_ends(parts, excess);
      else
        shorten_front(parts, excess, format.task == FinetuneTask::completion);
    }
    const size_t begin = tokens_.size();
    for (const auto& part : parts) tokens_.insert(tokens_.end(), part.begin(), part.end());
    if (tokens_[begin] < 0) tokens_[begin] = ~tokens_[begin];  // nothing says the first one
    ends_.push_back(tokens_.size());
    longest_ = std::max(longest_, static_cast<int64_t>(tokens_.size() - begin));
    counted_ += std::count_if(tokens_.begin() + static_cast<int64_t>(begin), tokens_.end(),
                              [](int32_t token) { return token < 0; });
  }
  begin_.push_back(ends_.size());
  sequences_ = std::max(sequences_, static_cast<int64_t>(record.sequences.size()));
  labels_of_.push_back(record.choice);
}

void Examples::name_labels(const ExampleFormat& format, const std::vector<std::string>& found,
                           const std::vector<std::string>& places) {
  labels_ = format.labels.empty() ? sorted_names(found) : format.labels;
  for (size_t i = 0; i < found.size(); ++i) {
    const auto name = std::ranges::find(labels_, found[i]);
    require(name != labels_.end(), "{}: the label \"{}\" is none of the classes {}", places[i],
            found[i], fmt::join(labels_, ", "));
    labels_of_[i] = static_cast<int32_t>(name - labels_.begin());
  }
}

std::span<const int32_t> Examples::tokens(int64_t example, int64_t sequence) const {
  const uint64_t first = begin_[static_cast<size_t>(example)] + static_cast<uint64_t>(sequence);
  if (first >= begin_[static_cast<size_t>(example) + 1]) return {};
  const uint64_t begin = first ? ends_[first - 1] : 0;
  return std::span(tokens_).subspan(begin, ends_[first] - begin);
}

void lay_out(std::span<const int32_t> tokens, int32_t padding, std::span<int32_t> ids,
             std::span<int32_t> targets) {
  const auto id_of = [](int32_t token) { return token < 0 ? ~token : token; };
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = i < tokens.size() ? id_of(tokens[i]) : padding;
    targets[i] = i + 1 < tokens.size() && tokens[i + 1] < 0 ? id_of(tokens[i + 1]) : -1;
  }
}

}  // namespace katman
