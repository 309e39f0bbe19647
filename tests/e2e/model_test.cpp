// What one does with a trained model: generate, inspect, verify, compare, exchange.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "parallel/checkpoint/checkpoint.h"
#include "tests/support/small_run.h"

namespace katman::testing {
namespace {

namespace fs = std::filesystem;

// One trained run for all tests, saved by four ranks.
const SmallRun& trained() {
  static const SmallRun* run = [] {
    auto* made = new SmallRun;
    const Result result = made->train("run", {"mesh.tp=2", "mesh.pp=2"});
    EXPECT_EQ(result.status, 0) << result.output;
    return made;
  }();
  return *run;
}

Result katman_with(std::vector<std::string> words) {
  words.insert(words.begin(), katman());
  return run(words);
}

Result generate(std::vector<std::string> words) {
  words.insert(words.begin(), {"generate", "--checkpoint", trained().path("run")});
  return katman_with(words);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Generate, the_same_seed_says_the_same_and_another_something_else) {
  const std::vector<std::string> words = {"--prompt", "the ", "--tokens", "40", "--seed", "5"};
  const Result once = generate(words), again = generate(words);
  ASSERT_EQ(once.status, 0) << once.output;
  EXPECT_TRUE(once.output.starts_with("the ")) << once.output;
  EXPECT_EQ(once.output, again.output);
  EXPECT_NE(generate({"--prompt", "the ", "--tokens", "40", "--seed", "6"}).output, once.output);
}

TEST(Generate, json_holds_the_ids_and_cached_tokens_follow_from_the_whole_text) {
  const Result result =
      generate({"--ids", "5,6,7", "--tokens", "3", "--temperature", "0", "--json"});
  ASSERT_EQ(result.status, 0) << result.output;
  const auto ids = nlohmann::json::parse(result.output)["ids"].get<std::vector<int>>();
  ASSERT_FALSE(ids.empty());
  const Result next = generate({"--ids", "5,6,7," + std::to_string(ids[0]), "--tokens", "1",
                                "--temperature", "0", "--json"});
  if (ids.size() > 1) {
    EXPECT_EQ(nlohmann::json::parse(next.output)["ids"][0], ids[1]);
  }
}

TEST(Generate, what_cannot_be_is_refused_in_one_sentence) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"--ids", "5,999"}, "999 is not a token"},
      {{"--prompt", std::string(200, '?')}, "and this model reads at most 32; shorten it"},
      {{"--step", "77"}, "has no checkpoint of step 77; it has: "},
      {{"--temperature", "-1"}, "temperature"},
      {{"--precision", "fp8"}, "use fp32 or bf16"},
      {{"--prompt", "a", "--prompt-file", "b"}, "not both"},
  };
  for (const auto& [words, sentence] : refusals) {
    const Result result = generate(words);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_TRUE(has(result.output, sentence)) << result.output;
  }
  const Result nowhere = katman_with({"generate", "--checkpoint", "/nowhere", "--prompt", "x"});
  EXPECT_EQ(nowhere.status, 2);
  EXPECT_TRUE(has(nowhere.output, "there is no directory /nowhere")) << nowhere.output;
}

// What a shell says to `command`, with our standard error left out.
std::vector<nlohmann::json> lines_of(const std::string& command) {
  const Result result = run({"/bin/sh", "-c", command + " 2> /dev/null"});
  std::vector<nlohmann::json> lines;
  std::istringstream stream(result.output);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Generate, requests_from_standard_input_are_answered_token_by_token) {
  const std::string command =
      "printf '%s\\n' '{\"prompt\": \"the \", \"tokens\": 4, \"id\": \"a\", \"logprobs\": 2}' "
      "'{\"tokns\": 4}' '{\"prompt\": \"a\", \"tokens\": 2, \"temperature\": 0}' | " +
      katman() + " generate --json-lines --checkpoint " + trained().path("run");
  const auto lines = lines_of(command);
  ASSERT_GE(lines.size(), 8u);
  EXPECT_EQ(lines[0]["event"], "ready");
  std::string text;
  for (size_t i = 1; i <= 4; ++i) {
    EXPECT_EQ(lines[i]["event"], "token");
    EXPECT_EQ(lines[i]["top"].size(), 2u);
    text += lines[i]["text"].get<std::string>();
  }
  EXPECT_EQ(lines[5]["event"], "done");
  EXPECT_EQ(lines[5]["id"], "a");
  EXPECT_TRUE(lines[5]["text"].get<std::string>().starts_with(text));
  EXPECT_EQ(lines[6]["event"], "error");
  EXPECT_TRUE(has(lines[6]["error"], "\"tokns\" is not a field")) << lines[6];
  EXPECT_EQ(lines.back()["ids"].size(), 2u);
}

TEST(Generate, a_file_of_requests_is_answered_alike_on_one_rank_and_on_four) {
  const std::string file = trained().path("requests.jsonl");
  std::ofstream(file) << R"({"prompt": "the ", "tokens": 6, "seed": 4})"
                         "\n"
                      << R"({"prompt": "a b c d e f g", "tokens": 3, "stop": [" "]})"
                         "\n"
                      << R"({"ids": [5, 6], "tokens": 9, "repetition_penalty": 1.2})"
                         "\n";
  const auto answers = [&](const std::string& more) {
    std::map<int, nlohmann::json> by_id;
    for (const auto& line : lines_of(katman() + " generate --checkpoint " + trained().path("run") +
                                     " --requests " + file + more))
      by_id[line["id"].get<int>()] = line["ids"];
    return by_id;
  };
  const auto one = answers("");
  EXPECT_EQ(one.size(), 3u);
  EXPECT_EQ(answers(" --tp 2 --pp 2"), one);
  EXPECT_EQ(answers(" --together 1"), one);
}

TEST(Eval, tasks_are_asked_on_replicas_and_in_one_process_with_the_same_result) {
  const std::string task = trained().path("task.jsonl");
  std::ofstream(task) << R"({"task": "t", "kind": "multiple_choice"})"
                         "\n"
                      << R"({"question": "the", "choices": ["a", "bcd", "e"], "answer": 0})"
                         "\n"
                      << R"({"question": "what", "choices": ["x y", "z"], "answer": "z"})"
                         "\n"
                      << R"({"question": "when", "choices": ["now", "zz"], "answer": 1})"
                         "\n";
  const std::string command = katman() + " eval --json --shots 1 --checkpoint " +
                              trained().path("run") + " --tasks " + task;
  const auto alone = lines_of(command);
  ASSERT_EQ(alone.size(), 1u);
  const auto& result = alone[0]["results"][0];
  EXPECT_EQ(result["examples"], 3);
  EXPECT_TRUE(result["metrics"].contains("acc_norm")) << result;
  const auto shared = lines_of(command + " --dp 2 --tp 2");
  ASSERT_EQ(shared.size(), 1u);
  EXPECT_EQ(shared[0]["results"][0]["metrics"], result["metrics"]);
  const Result refused =
      katman_with({"eval", "--checkpoint", trained().path("run"), "--tasks", task, "--shots", "3"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(has(refused.output, "3 shots are wanted, and t has only 2")) << refused.output;
}

TEST(TrainAgain, another_model_than_the_saved_one_is_refused_and_leaves_no_trace) {
  const fs::path copy = trained().path("kept");
  fs::copy(trained().path("run"), copy, fs::copy_options::recursive);
  const std::string before = read_file(copy / "run.textproto");
  // Each of these fits the shapes of all tensors that it would load.
  const std::map<std::string, std::string> refusals = {
      {"model.heads=2", "have model.heads = 4, this run has 2"},
      {"model.layers=1", "have model.layers = 2, this run has 1"},
  };
  for (const auto& [assignment, sentence] : refusals) {
    const Result result = trained().train("kept", {"steps=14", assignment});
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_TRUE(has(result.output, sentence)) << result.output;
    EXPECT_EQ(read_file(copy / "run.textproto"), before) << assignment;
    EXPECT_EQ(find_checkpoint(copy).filename(), find_checkpoint(trained().path("run")).filename());
  }
}

TEST(CheckpointCommand, inspect_says_what_is_there) {
  const Result table = katman_with({"checkpoint", "inspect", trained().path("run")});
  EXPECT_EQ(table.status, 0);
  EXPECT_TRUE(has(table.output, "saved under tp=2 dp=1 pp=2")) << table.output;
  EXPECT_TRUE(has(table.output, "h.1.attn.qkv.weight")) << table.output;
  const Result json = katman_with({"checkpoint", "inspect", "--json", trained().path("run")});
  const auto parsed = nlohmann::json::parse(json.output);
  EXPECT_EQ(parsed["step"], 12);
  EXPECT_EQ(parsed["samples_consumed"], 12 * 8);
}

TEST(CheckpointCommand, verify_names_the_damaged_file) {
  const fs::path copy = trained().path("copy");
  fs::copy(find_checkpoint(trained().path("run")), copy, fs::copy_options::recursive);
  EXPECT_EQ(katman_with({"checkpoint", "verify", copy.string()}).status, 0);
  std::fstream file(copy / "rank-00002.safetensors",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-9, std::ios::end);
  const char byte = static_cast<char>(file.peek() ^ 4);
  file.seekp(-9, std::ios::end);
  file.put(byte);
  file.close();
  const Result damaged = katman_with({"checkpoint", "verify", copy.string()});
  EXPECT_EQ(damaged.status, 1);
  EXPECT_TRUE(has(damaged.output, "rank-00002.safetensors")) << damaged.output;
}

TEST(CheckpointCommand, a_model_comes_back_from_hugging_faces_format_bit_for_bit) {
  const std::string run = trained().path("run"), out = trained().path("hf"),
                    back = trained().path("back");
  const Result exported = katman_with({"checkpoint", "export", "--to", "hf", out, run});
  ASSERT_EQ(exported.status, 0) << exported.output;
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"})
    EXPECT_TRUE(fs::exists(fs::path(out) / file)) << file;
  EXPECT_EQ(katman_with({"checkpoint", "export", "--to", "hf", out, run}).status, 2);

  const Result imported = katman_with({"checkpoint", "import", "--from", "hf", out, "--out", back});
  ASSERT_EQ(imported.status, 0) << imported.output;
  const Result same = katman_with({"checkpoint", "diff", run, back});
  EXPECT_EQ(same.status, 0) << same.output;

  const Result trained_further = trained().train("back", {"steps=4"});
  EXPECT_EQ(trained_further.status, 0) << trained_further.output;
  EXPECT_TRUE(has(trained_further.output, "going on after step 0")) << trained_further.output;
  EXPECT_LT(trained().losses("back").at(0), trained().losses("run").at(0) - 0.1);
  const Result different = katman_with({"checkpoint", "diff", run, back});
  EXPECT_EQ(different.status, 1);
  EXPECT_TRUE(has(different.output, "elements differ")) << different.output;
}

TEST(CheckpointCommand, a_model_of_another_kind_is_refused) {
  const TempDir dir;
  dir.write("config.json", R"({"model_type": "bert"})");
  fs::copy(trained().path("run") + "/tokenizer.json", dir.file("tokenizer.json"));
  const Result result = katman_with(
      {"checkpoint", "import", "--from", "hf", dir.path().string(), "--out", dir.file("run")});
  EXPECT_EQ(result.status, 2);
  EXPECT_TRUE(has(result.output, "only openai-gpt, gpt2 and llama can be imported"))
      << result.output;
  EXPECT_FALSE(fs::exists(dir.file("run")));
}

}  // namespace
}  // namespace katman::testing
