// Whatever bytes a file holds, what reads it ends, and ends well or with one sentence. Each target
// is what a fuzzer would call with its input; here it gets thousands of mutations of whole files,
// the same ones every time, which under the sanitizers is a test of every read and write.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "core/random.h"
#include "data_pipeline/clean/clean.h"
#include "data_pipeline/corpus/manifest.h"
#include "data_pipeline/corpus/shard.h"
#include "data_pipeline/corpus/sources.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/control/spec.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/safetensors.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/draw.h"
#include "parallel/pipeline/transfers.h"
#include "tests/data_pipeline/tokenize/small_tokenizer.h"
#include "tests/support/pages.h"
#include "tests/support/reading.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

// The n-th mutation of `seed`: a few edits, of which some put words in that parsers care about.
std::string mutated(std::string bytes, Key key) {
  static const std::vector<std::string> words = {std::string(1, '\0'),
                                                 "\xff\xfe",
                                                 "-1",
                                                 "99999999999999999999",
                                                 "1e400",
                                                 "{",
                                                 "[",
                                                 "}",
                                                 "\"",
                                                 "\\u0000",
                                                 "\r\n\r\n",
                                                 "<",
                                                 "<!--",
                                                 "&#x110000;",
                                                 "null",
                                                 "|",
                                                 ":",
                                                 "\xe2\x82"};
  uint64_t at = 0;
  const auto draw = [&](uint64_t below) { return random_bits(key, at++) % below; };
  for (uint64_t edit = 0; edit <= draw(4); ++edit) {
    const uint64_t place = draw(bytes.size() + 1);
    const uint64_t length = std::min<uint64_t>(draw(1 + draw(64)), bytes.size() - place);
    switch (draw(6)) {
      case 0:
        if (place < bytes.size()) bytes[place] = static_cast<char>(bytes[place] ^ (1 << draw(8)));
        break;
      case 1:
        if (place < bytes.size()) bytes[place] = static_cast<char>(draw(256));
        break;
      case 2:
        bytes.erase(place, length);
        break;
      case 3:
        bytes.insert(place, bytes.substr(place, length));
        break;
      case 4:
        bytes.insert(place, words[draw(words.size())]);
        break;
      default:
        if (draw(4) == 0) bytes.resize(place);
    }
  }
  return bytes;
}

// What reads the file at `path`; throws Error when it doesn't like it.
using Target = std::function<void(const std::string& path)>;

// Whole files, then `count` mutations of them.
void expect_sentences(const std::string& name, const std::vector<std::string>& seeds,
                      const Target& target, uint64_t count) {
  const TempDir dir;
  for (const std::string& seed : seeds)
    EXPECT_NO_THROW(target(dir.write("file", seed))) << name << " refuses a whole file";
  uint64_t refused = 0;
  for (uint64_t n = 0; n < count; ++n) {
    const std::string bytes = mutated(seeds[n % seeds.size()], Key(17).at(name).at(n));
    const std::string path = dir.write(std::to_string(n), bytes);  // a new file is a cheap one
    try {
      target(path);
    } catch (const Error& error) {
      ++refused;
      const std::string sentence = error.what();
      ASSERT_FALSE(sentence.empty()) << name << ", mutation " << n;
      ASSERT_EQ(sentence.find('\n'), std::string::npos)
          << name << ", mutation " << n << ": " << sentence;
    } catch (const std::exception& error) {
      FAIL() << name << ", mutation " << n << ": " << error.what();
    }
    std::filesystem::remove(path);
  }
  EXPECT_GT(refused, count / 50) << name << ": these mutations do no harm";
}

void read_and_clean(const std::string& path) {
  const auto reader = open_pages(path, {.max_page_bytes = 1 << 16});
  const Cleaner cleaner;
  for (Page page; reader->next(page);) cleaner(page);
}

std::string warc(int pages) {
  std::string records;
  for (int i = 0; i < pages; ++i)
    records += warc_response("http://a.example/" + std::to_string(i),
                             web_page(static_cast<uint64_t>(i), 1));
  return records;
}

TEST(Mutations, of_raw_pages_end_in_pages_or_one_sentence) {
  std::string members;
  for (int i = 0; i < 3; ++i) members += gzip(warc(1));
  expect_sentences("pages in gzip", {members, gzip("{\"text\": \"one\"}\n")}, read_and_clean, 1500);
  // Damage outside of compression costs records, not the file.
  const TempDir dir;
  const std::vector<std::string> seeds = {
      warc(2), web_page(1),
      "{\"text\": \"a\\u00e9\\ud83d\\ude00\", \"url\": [1, {\"b\": 2}]}\n{\"text\": \"b\"}\n",
      prose(1, 1)};
  for (uint64_t n = 0; n < 3000; ++n) {
    const std::string path =
        dir.write(std::to_string(n), mutated(seeds[n % seeds.size()], Key(18).at(n)));
    const WholeRead read = read_pages(path);
    const Cleaner cleaner;
    for (const Page& page : read.pages) cleaner(page);
    const ReadCounters& counters = read.counters;
    uint64_t accounted = counters.pages;
    for (const auto& [reason, count] : counters.skipped) accounted += count;
    ASSERT_EQ(counters.records, accounted) << "mutation " << n << ": a record got lost";
    ASSERT_EQ(read.error.find('\n'), std::string::npos) << read.error;
    std::filesystem::remove(path);
  }
}

TEST(Mutations, of_tokenizers_are_refused_or_encode) {
  const TempDir dir;
  small_tokenizer(Pattern::gpt2, 280).save(dir.file("tokenizer.json"));
  const std::string whole = read_file(dir.file("tokenizer.json"));
  const auto load = [](const std::string& path) {
    const std::string named = path + ".json";
    std::filesystem::rename(path, named);
    const Tokenizer tokenizer = Tokenizer::load(named);
    const std::string text = "The dog \xf0\x9f\x98\x80\xff";
    EXPECT_EQ(tokenizer.decode(ids_of(tokenizer, text)), text);
  };
  expect_sentences("tokenizer.json", {whole}, load, 400);
}

TEST(Mutations, of_token_shards_and_manifests_are_refused) {
  const TempDir dir;
  ShardWriter writer(dir.file("shard"), 300, "t");
  for (uint32_t d = 0; d < 40; ++d) writer.add(std::vector<uint32_t>(d, d));
  writer.finish();
  const auto open = [](const std::string& path) { Shard(path).verify(); };
  expect_sentences("shard", {read_file(dir.file("shard"))}, open, 1500);
  SourcesWriter sources(dir.file("sources"));
  for (int d = 0; d < 300; ++d) sources.add("http://a.example/" + std::to_string(d));
  sources.finish();
  expect_sentences(
      "sources", {read_file(dir.file("sources"))},
      [](const std::string& path) { Sources(path).verify(); }, 1500);
  Manifest manifest;
  manifest.tokenizer_file = "tokenizer.json";
  manifest.tokenizer_fingerprint = "t";
  manifest.split(Split::train) = {5, 1, 20, {{"train-00000.tokens", 5, 1, 4200, "00ff"}}};
  manifest.split(Split::train).shards[0].sources = SourcesEntry{"train-00000.sources", "ff00"};
  const auto parse = [](const std::string& path) { parse_manifest(read_file(path), path); };
  expect_sentences("corpus.json", {to_json(manifest)}, parse, 2000);
}

TEST(Mutations, of_checkpoints_are_refused) {
  const std::string head =
      safetensors_head({{"a", "F32", {2, 2}, 0, 0}, {"b", "U8", {3}, 0, 0}}, {{"k", "v"}});
  expect_sentences(
      "safetensors", {head + std::string(19, 'x')},
      [](const std::string& path) { read_safetensors_head(FileReader(path)); }, 3000);
  CheckpointManifest manifest;
  manifest.set_step(3);
  manifest.mutable_model()->set_layers(2);
  expect_sentences(
      "manifest", {seal(manifest)},
      [](const std::string& path) {
        CheckpointManifest read;
        unseal(read_file(path), path, read);
      },
      1500);
}

TEST(Mutations, of_run_files_are_refused_or_complete) {
  const std::string whole =
      "steps: 12 seed: 7 model { preset: \"tiny\" layers: 4 hidden: 32 heads: 4 dropout: 0.1 }\n"
      "data { corpus: \"c\" batch_tokens: 4096 micro_batch: 4 }\nmesh { tp: 2 pp: 2 dp: 3 chunks: "
      "2 "
      "schedule: \"interleaved\" }\nlearning_rate { kind: LINEAR peak: 1e-2 warmup_steps: 2 }\n";
  const auto read = [](const std::string& path) {
    RunSpec spec = read_run_file(path);
    complete(spec, "fallback");
  };
  expect_sentences("run file", {whole}, read, 4000);
}

TEST(Mutations, of_schedules_and_timelines_are_refused_or_proven) {
  const std::string text = to_string(zero_bubble(3, 4));
  const auto prove = [](const std::string& path) {
    verify(with_comms(parse_schedule(read_file(path))), 4);
  };
  expect_sentences("schedule", {text, to_string(interleaved(2, 4, 2))}, prove, 4000);
  const std::string spans = to_text({{{Do::forward, 0, 0}, 0, 1}, {{Do::send_act, 0, 0}, 1, 1.5}});
  const auto parse = [](const std::string& path) { parse_spans(read_file(path), path); };
  expect_sentences("timeline", {spans}, parse, 2000);
}

}  // namespace
}  // namespace katman::testing
