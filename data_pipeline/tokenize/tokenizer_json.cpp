// tokenizer.json, the file of Hugging Face `tokenizers`: the byte-level BPE part of it. A setting
// that would change the ids and is not implemented is refused, never ignored.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data_pipeline/tokenize/byte_alphabet.h"
#include "data_pipeline/tokenize/model.h"

namespace katman {
namespace {
using nlohmann::json;

bool present(const json& object, const char* field) {
  return object.contains(field) && !object[field].is_null();
}

std::string type_of(const json& object) { return object.value("type", std::string("BPE")); }

// {"type":"ByteLevel"} with the settings that keep bytes as they are.
void check_byte_level(const json& step) {
  require(type_of(step) == "ByteLevel", "its pre-tokenizer is {}; only byte-level BPE is supported",
          type_of(step));
  require(!step.value("add_prefix_space", true),
          "it puts a space in front of every text (add_prefix_space), which is not supported");
}

Pattern pattern_of_split(const json& step) {
  require(type_of(step) == "Split" && step.at("pattern").contains("Regex"),
          "its pre-tokenizer does not split by a regular expression");
  require(step.value("behavior", "") == "Isolated" && !step.value("invert", false),
          "its pre-tokenizer splits with behavior {}; only Isolated is supported",
          step.value("behavior", "(none)"));
  return pattern_of_regex(step["pattern"]["Regex"].get<std::string>());
}

Pattern read_pattern(const json& file) {
  require(present(file, "pre_tokenizer"), "it has no pre_tokenizer; byte-level BPE needs one");
  const json& outer = file["pre_tokenizer"];
  if (type_of(outer) != "Sequence") {
    check_byte_level(outer);
    require(outer.value("use_regex", true),
            "its pre-tokenizer does not cut text into pieces (use_regex is false)");
    return Pattern::gpt2;
  }
  const json& steps = outer.at("pretokenizers");
  require(steps.size() == 2, "its pre-tokenizer has {} steps; Split and ByteLevel are supported",
          steps.size());
  check_byte_level(steps[1]);
  require(!steps[1].value("use_regex", true), "its pre-tokenizer splits text twice");
  return pattern_of_split(steps[0]);
}

std::vector<SpecialToken> read_specials(const json& file) {
  std::vector<SpecialToken> specials;
  if (!present(file, "added_tokens")) return specials;
  for (const json& token : file["added_tokens"]) {
    const auto name = token.at("content").get<std::string>();
    require(token.value("special", false),
            "its added token \"{}\" is not special: it would be cut out of text before the merges, "
            "which is not supported",
            name);
    specials.push_back({name, token.at("id").get<uint32_t>()});
  }
  return specials;
}

using Ids = std::unordered_map<std::string, uint32_t>;  // by the spelling in the file

Ids read_vocab(const json& vocab, TokenizerParts& parts) {
  Ids ids;
  ids.reserve(vocab.size());
  for (const auto& [spelled, value] : vocab.items()) {
    require(value.is_number_unsigned() && value.get<uint64_t>() < MergeTable::max_ids,
            "the id of its token \"{}\" is {}; ids are integers below {}", spelled, value.dump(),
            MergeTable::max_ids);
    const auto id = value.get<uint32_t>();
    ids[spelled] = id;
    if (id >= parts.tokens.size()) parts.tokens.resize(id + 1);
    require(parts.tokens[id].empty(), "its token \"{}\" has the id {}, which another one has too",
            spelled, id);
    bool special = false;
    for (const SpecialToken& token : parts.specials) {
      special |= token.name == spelled;
      require(token.name != spelled || token.id == id,
              "its special token {} has two ids, {} and {}", spelled, token.id, id);
    }
    const auto bytes = special ? spelled : unspell_bytes(spelled);
    require(bytes.has_value() && !bytes->empty(),
            "its token \"{}\" is not spelled in the byte-level alphabet", spelled);
    parts.tokens[id] = *bytes;
  }
  return ids;
}

uint32_t id_of(const Ids& ids, const std::string& spelled) {
  const auto found = ids.find(spelled);
  require(found != ids.end(), "a merge uses \"{}\", which is not in the vocabulary", spelled);
  return found->second;
}

Merge merge_of(const Ids& ids, const std::string& left, const std::string& right) {
  return {id_of(ids, left), id_of(ids, right), id_of(ids, left + right)};
}

Merge merge_of_line(const Ids& ids, const std::string& line) {
  const size_t space = line.find(' ');
  require(space != std::string::npos && line.find(' ', space + 1) == std::string::npos,
          "a merge is two tokens with a space between them, and \"{}\" is not", line);
  return merge_of(ids, line.substr(0, space), line.substr(space + 1));
}

Merge merge_of_json(const Ids& ids, const json& merge) {
  if (merge.is_string()) return merge_of_line(ids, merge.get<std::string>());
  require(merge.is_array() && merge.size() == 2, "a merge is two tokens, and {} is not",
          merge.dump());
  return merge_of(ids, merge[0].get<std::string>(), merge[1].get<std::string>());
}

void read_model(const json& model, TokenizerParts& parts) {
  require(type_of(model) == "BPE", "its model is {}; only BPE is supported", type_of(model));
  require(!present(model, "dropout") || model["dropout"] == 0.0,
          "its model drops merges at random (dropout), which is not supported");
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"})
    require(!present(model, field) || model[field] == "",
            "its model has a {}, which is not supported", field);
  parts.whole_piece_first = model.value("ignore_merges", false);
  const Ids ids = read_vocab(model.at("vocab"), parts);
  for (const json& merge : model.at("merges")) parts.merges.push_back(merge_of_json(ids, merge));
}

json json_of_pattern(Pattern pattern) {
  json bytes = {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", pattern == Pattern::gpt2}};
  if (pattern == Pattern::gpt2) return bytes;
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", regex_of(pattern)}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}};
}

json json_of_specials(const TokenizerParts& parts) {
  json tokens = json::array();
  for (const SpecialToken& special : parts.specials)
    tokens.push_back({{"id", special.id},
                      {"content", special.name},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", true}});
  return tokens;
}

// The spelling of every token as a JSON string; empty for an id that no token has.
std::vector<std::string> spelled_tokens(const TokenizerParts& parts) {
  std::vector<std::string> spelled;
  for (const std::string& token : parts.tokens)
    spelled.push_back(token.empty() ? "" : json(spell_bytes(token)).dump());
  for (const SpecialToken& special : parts.specials)
    spelled[special.id] = json(special.name).dump();
  return spelled;
}

}  // namespace

TokenizerParts parts_of_json(const std::string& text) try {
  const json file = json::parse(text);
  require(file.is_object() && file.contains("model"), "it is not a tokenizer.json: no model in it");
  for (const char* field : {"normalizer", "truncation", "padding"})
    require(!present(file, field), "it has a {}, which is not supported", field);
  require(!present(file, "decoder") || type_of(file["decoder"]) == "ByteLevel",
          "its decoder is not ByteLevel");
  TokenizerParts parts;
  parts.pattern = read_pattern(file);
  parts.specials = read_specials(file);
  read_model(file["model"], parts);
  if (present(file, "post_processor")) parts.post_processor = file["post_processor"].dump();
  return parts;
} catch (const json::exception& error) {
  fail("it is not a well-formed tokenizer.json: {}", error.what());
}

TokenizerParts parts_of_vocab_and_merges(const std::string& vocab_json, std::string_view merges_txt,
                                         Pattern pattern) try {
  TokenizerParts parts;
  parts.pattern = pattern;
  const json vocab = json::parse(vocab_json);
  require(vocab.is_object(), "vocab.json is not an object of tokens and ids");
  if (vocab.contains("<|endoftext|>"))
    parts.specials.push_back({"<|endoftext|>", vocab["<|endoftext|>"].get<uint32_t>()});
  const Ids ids = read_vocab(vocab, parts);
  bool first = true;
  while (!merges_txt.empty()) {
    const size_t size = std::min(merges_txt.find('\n'), merges_txt.size());
    std::string line(merges_txt.substr(0, size));
    merges_txt.remove_prefix(std::min(size + 1, merges_txt.size()));
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool header = first && line.starts_with("#version");
    if (!line.empty() && !header) parts.merges.push_back(merge_of_line(ids, line));
    first = false;
  }
  return parts;
} catch (const json::exception& error) {
  fail("vocab.json is not well-formed: {}", error.what());
}

// Written by hand because the vocabulary has to be in the order of its ids, one token to a line, so
// that two vocabularies can be compared by eye.
std::string json_of_parts(const TokenizerParts& parts) {
  const std::vector<std::string> spelled = spelled_tokens(parts);
  std::string out = "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n";
  out += "\"added_tokens\": " + json_of_specials(parts).dump() + ",\n\"normalizer\": null,\n";
  out += "\"pre_tokenizer\": " + json_of_pattern(parts.pattern).dump() + ",\n";
  out += "\"post_processor\": " + parts.post_processor + ",\n";
  out += R"("decoder": {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,)"
         "\"use_regex\":true},\n";
  out += R"("model": {"type":"BPE","dropout":null,"unk_token":null,)"
         R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,)"
         R"("byte_fallback":false,"ignore_merges":)";
  out += parts.whole_piece_first ? "true" : "false";
  out += ",\n\"vocab\": {";
  const char* separator = "\n";
  for (size_t id = 0; id < spelled.size(); ++id) {
    if (spelled[id].empty()) continue;
    out += fmt::format("{}{}:{}", separator, spelled[id], id);
    separator = ",\n";
  }
  out += "\n},\n\"merges\": [";
  separator = "\n";
  for (const Merge& merge : parts.merges) {
    out += fmt::format("{}[{},{}]", separator, spelled[merge.left], spelled[merge.right]);
    separator = ",\n";
  }
  return out + "\n]}\n}\n";
}

}  // namespace katman
