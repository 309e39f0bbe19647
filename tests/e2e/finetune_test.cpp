// The program itself: `katman finetune` from a small pre-trained run to answers.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "orchestrator/loaded_model.h"
#include "parallel/comm/threads.h"
#include "tests/support/eventually.h"
#include "tests/support/lessons.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const std::string& path) { return json::parse(read_file(path)); }

// Of the held-out file, the share that the base model gets right when it is asked which of the
// labels it would rather say behind the text.
double zero_shot_accuracy() {
  const fs::path checkpoint = chosen_checkpoint(lessons().base(), -1);
  ThreadWorld world(1);
  const auto alone = world.comm(0);
  LoadedModel model(checkpoint, {.device = "cpu", .threads = 1, .mesh = {}}, *alone);
  const Tokenizer tokenizer = tokenizer_of(checkpoint);
  const auto ids_of = [&](const std::string& text) {
    std::vector<uint32_t> ids;
    Encoder(tokenizer).encode(text, ids);
    return std::vector<int32_t>(ids.begin(), ids.end());
  };
  const auto said = [&](const std::string& text, const std::string& label) {
    std::vector<int32_t> ids = ids_of(text);
    const size_t prompt = ids.size();
    for (const int32_t id : ids_of(" " + label)) ids.push_back(id);
    while (ids.size() > 32) ids.erase(ids.begin());
    const auto logits = model.logits(ids);
    const size_t columns = logits.size() / ids.size();
    double log_p = 0;
    for (size_t t = ids.size() - (ids_of(" " + label).size()); t < ids.size(); ++t) {
      const float* row = &logits[(t - 1) * columns];
      double sum = 0;
      for (size_t c = 0; c < columns; ++c) sum += std::exp(row[c]);
      log_p += row[ids[t]] - std::log(sum);
    }
    return prompt ? log_p : 0;
  };
  int right = 0, all = 0;
  for (const json& line : read_lines(lessons().file("held-out.jsonl"))) {
    const bool happy = said(line["text"], "happy") > said(line["text"], "sad");
    right += (line["label"] == "happy") == happy;
    ++all;
  }
  return 1.0 * right / all;
}

TEST(Finetune, a_classifier_beats_the_majority_and_its_own_zero_shot_score) {
  const Result result = lessons().finetune("classifier", lessons().classification(),
                                           {"steps=120", "finetune.batch=16"});
  ASSERT_EQ(result.status, 0) << result.output;
  const std::string directory = lessons().runs().path("classifier");
  const json found = read_json(directory + "/evaluation.json");
  const auto predictions = read_lines(directory + "/predictions.jsonl");
  ASSERT_EQ(predictions.size(), 60u);
  const auto sad = std::ranges::count(predictions, "sad", [](const json& p) { return p["label"]; });
  const double majority = static_cast<double>(std::max<int64_t>(sad, 60 - sad)) / 60;
  EXPECT_GT(found["accuracy"], majority + 0.1) << result.output;
  EXPECT_GT(found["accuracy"], zero_shot_accuracy() + 0.1);
  EXPECT_GT(found["matthews"], 0.5);
  EXPECT_EQ(found["labels"], (json{"happy", "sad"}));
  EXPECT_NE(result.output.find("held out: 60 examples of classification"), std::string::npos);
  EXPECT_NE(read_file(directory + "/metrics.jsonl").find("\"macro_f1\""), std::string::npos);
}

TEST(Finetune, a_classifier_is_the_same_on_every_layout) {
  const std::string short_run = "steps=6";
  ASSERT_EQ(lessons().finetune("c-one", lessons().classification(), {short_run}).status, 0);
  const auto want = lessons().runs().losses("c-one");
  for (const std::string axis : {"tp", "pp", "dp"}) {
    const std::string mesh = "mesh." + axis + "=2";
    const Result result =
        lessons().finetune("c-" + axis, lessons().classification(), {short_run, mesh});
    ASSERT_EQ(result.status, 0) << result.output;
    const auto got = lessons().runs().losses("c-" + axis);
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [step, loss] : want) EXPECT_NEAR(got.at(step), loss, 1e-4 * loss) << mesh;
  }
}

TEST(Finetune, completions_are_learned_by_heart_and_can_be_generated) {
  const Result result = lessons().finetune("completions", lessons().completion(),
                                           {"steps=120", "learning_rate.peak=1e-2"});
  ASSERT_EQ(result.status, 0) << result.output;
  const auto losses = lessons().runs().losses("completions");
  EXPECT_LT(losses.at(119), 0.05);
  for (const auto& [prompt, completion] : Lessons::pairs()) {
    const Result said =
        run({katman(), "generate", "--checkpoint", lessons().runs().path("completions"), "--prompt",
             prompt, "--temperature", "0", "--json"});
    ASSERT_EQ(said.status, 0) << said.output;
    EXPECT_EQ(json::parse(said.output)["text"], completion);
  }
}

TEST(Finetune, only_completions_are_counted) {
  ASSERT_EQ(
      lessons().finetune("counted", lessons().completion(), {"steps=1", "finetune.batch=4"}).status,
      0);
  const Tokenizer tokenizer = tokenizer_of(chosen_checkpoint(lessons().base(), -1));
  size_t counted = 0;
  for (const auto& [prompt, completion] : Lessons::pairs()) {
    std::vector<uint32_t> ids;
    Encoder(tokenizer).encode(completion, ids);
    counted += ids.size() + 1;  // and the end
  }
  const auto lines = read_lines(lessons().runs().path("counted") + "/metrics.jsonl");
  EXPECT_EQ(lines.at(0)["tokens"], counted);
}

TEST(Finetune, packed_examples_are_learned_as_if_each_were_alone) {
  const std::vector<std::string> sets = {"steps=6", "finetune.batch=4"};
  const auto section = lessons().completion() +
                       fmt::format(" held_out: \"{}\"", lessons().file("completions.jsonl"));
  const Result packed = lessons().finetune("packed", section, sets);
  ASSERT_EQ(packed.status, 0) << packed.output;
  EXPECT_NE(packed.output.find("the 4 of a step share "), std::string::npos) << packed.output;
  ASSERT_EQ(lessons().finetune("alone", section + " pack: false", sets).status, 0);
  const auto a = read_lines(lessons().runs().path("packed") + "/metrics.jsonl"),
             b = read_lines(lessons().runs().path("alone") + "/metrics.jsonl");
  ASSERT_EQ(a.size(), b.size());
  for (size_t line = 0; line < a.size(); ++line)
    for (const char* name : {"loss", "grad_norm", "tokens", "validation_loss"})
      if (b[line].contains(name)) {
        EXPECT_NEAR(a[line][name], b[line][name], 1e-4 * b[line][name].get<double>()) << name;
      }
}

TEST(Finetune, killed_it_goes_on_bit_for_bit_even_without_its_base) {
  const std::string base = lessons().runs().path("moved-base");
  fs::copy(lessons().base(), base, fs::copy_options::recursive);
  auto sets = Lessons::any_length();
  sets.push_back("finetune.from=" + base);
  const auto section = lessons().classification();
  const Interrupted killed =
      lessons().runs().interrupt("killed", lessons().command("killed", section, sets), 50, SIGKILL);
  sets.push_back("steps=" + std::to_string(killed.steps + 20));
  ASSERT_EQ(lessons().finetune("never-killed", section, sets).status, 0);
  fs::remove_all(base);
  const Result resumed = lessons().finetune("killed", section, sets);
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("going on after step"), std::string::npos) << resumed.output;
  EXPECT_EQ(lessons().runs().newest_checkpoint("killed"),
            lessons().runs().newest_checkpoint("never-killed"));
}

TEST(Finetune, an_orchestrator_runs_it_like_any_run) {
  const std::string data = lessons().runs().path("service"), log_file = data + ".log";
  Process service({katman(), "orchestrate", "--data", data, "--listen", "127.0.0.1:0",
                   "--dashboard=127.0.0.1:0"},
                  log_file);
  std::string address;
  eventually("it listens", [&] {
    const std::string log = read_file(log_file);
    const size_t begin = log.find("--to "), end = log.find('\n', begin);
    if (begin == std::string::npos || end == std::string::npos) return false;
    address = log.substr(begin + 5, end - begin - 5);
    return true;
  });
  const Result submitted =
      run({katman(), "submit", lessons().run_file("submitted", lessons().classification()), "--to",
           address, "--set", "mesh.dp=2"});
  ASSERT_EQ(submitted.status, 0) << submitted.output;
  const std::string evaluation = data + "/runs/submitted/evaluation.json";
  eventually("it is evaluated", [&] { return fs::exists(evaluation); });
  EXPECT_GT(read_json(evaluation)["accuracy"], 0.5);
  eventually("it is completed", [&] {
    return run({katman(), "runs", "list", "--to", address}).output.find("completed") !=
           std::string::npos;
  });
}

TEST(Finetune, choices_similarities_and_conversations_run_to_their_end) {
  const TempDir dir;
  const std::string choice =
      json{{"context", "the dog"}, {"choices", {"barks", "reads"}}, {"label", 0}}.dump();
  const std::string three =
      json{{"context", "a day"}, {"choices", {"reads", "barks", "ends"}}, {"label", 2}}.dump();
  const std::string same = json{{"first", "a dog"}, {"second", "the dog"}, {"label", 1}}.dump();
  const std::string other = json{{"first", "a dog"}, {"second", "the day"}, {"label", 0}}.dump();
  const std::string talk = json{{"prompt", "who?"}, {"completion", "the dog"}}.dump();
  const std::vector<std::pair<std::string, std::string>> tasks = {
      {"MULTIPLE_CHOICE", dir.write("choice.jsonl", choice + "\n" + three + "\n")},
      {"SIMILARITY", dir.write("similarity.jsonl", same + "\n" + other + "\n")},
      {"CHAT", dir.write("chat.jsonl", talk + "\n")}};
  for (const auto& [task, file] : tasks) {
    const Result result = lessons().finetune(
        task, fmt::format("task: {} train: \"{}\" held_out: \"{}\"", task, file, file),
        {"steps=30", "finetune.batch=2"});
    ASSERT_EQ(result.status, 0) << task << ": " << result.output;
    const auto losses = lessons().runs().losses(task);
    EXPECT_LT(losses.at(29), 0.7 * losses.at(0)) << task;
    if (task == "CHAT") continue;
    const json found = read_json(lessons().runs().path(task) + "/evaluation.json");
    EXPECT_EQ(found["accuracy"], 1.0) << task;
  }
}

TEST(Finetune, what_cannot_work_is_refused_in_one_sentence) {
  const std::map<std::string, std::string> refusals = {
      {"finetune.from=/nowhere", "finetune.from: there is no /nowhere"},
      {"finetune.train=", "finetune.train is missing"},
      {"model.layers=3", "of model, set only dropout"},
      {"data.corpus=x", "fine-tuning reads finetune.train"},
      {"finetune.length=64", "finetune.length is 64, but the model has 32 positions"},
      {"finetune.train=/nowhere.jsonl", "/nowhere.jsonl"},
      {"finetune.task=ENTAILMENT", "train.jsonl, line 1: there is no field \"premise\""},
      {"finetune.task=9", "finetune.task is 9; use COMPLETION"},
      {"finetune.pack=true", "finetune.pack is for completions and chats"},
      {"mesh.dp=9", "finetune.batch is 8, fewer examples than mesh.dp = 9"},
  };
  for (const auto& [assignment, sentence] : refusals) {
    const Result result = lessons().finetune("refused", lessons().classification(), {assignment});
    EXPECT_NE(result.status, 0) << assignment;
    EXPECT_NE(result.output.find(sentence), std::string::npos) << assignment << result.output;
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
  }
  EXPECT_FALSE(fs::exists(lessons().runs().path("refused")));
  const Result same =
      lessons().finetune("same", lessons().classification(), {"directory=" + lessons().base()});
  EXPECT_EQ(same.status, 2) << same.output;
  EXPECT_NE(same.output.find("are of pre-training, this run is fine-tuning"), std::string::npos)
      << same.output;
}

}  // namespace
}  // namespace katman::testing
