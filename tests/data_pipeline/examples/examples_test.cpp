#include "data_pipeline/examples/examples.h"

#include <gtest/gtest.h>

#include "tests/data_pipeline/tokenize/small_tokenizer.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

struct Reading {
  TempDir dir;
  Tokenizer base = small_tokenizer();

  Examples read(FinetuneTask task, const std::string& lines, int64_t most_tokens = 1000,
                const std::vector<std::string>& labels = {}) const {
    return Examples::read({dir.write("examples.jsonl", lines)}, {task, most_tokens, labels},
                          with_marks(base, task));
  }
  // Tokens as text, what is counted in brackets.
  std::string shown(FinetuneTask task, std::span<const int32_t> tokens) const {
    const Tokenizer tokenizer = with_marks(base, task);
    std::string text;
    bool open = false;
    for (const int32_t token : tokens) {
      const bool counted = token < 0;
      if (counted != open) text += counted ? "[" : "]";
      open = counted;
      text += tokenizer.bytes(static_cast<uint32_t>(counted ? ~token : token));
    }
    return text + (open ? "]" : "");
  }
  std::string shown(FinetuneTask task, const std::string& line, int64_t sequence = 0) const {
    return shown(task, read(task, line + "\n").tokens(0, sequence));
  }
};

TEST(Examples, a_completion_and_its_end_are_counted) {
  const Reading files;
  EXPECT_EQ(
      files.shown(FinetuneTask::completion, R"({"prompt": "the fox", "completion": " jumps"})"),
      "the fox[ jumps<|endoftext|>]");
  EXPECT_EQ(files.shown(FinetuneTask::completion, R"({"prompt": "", "completion": "jumps"})"),
            "<|endoftext|>[jumps<|endoftext|>]");
}

TEST(Examples, the_answers_of_a_conversation_are_counted) {
  const Reading files;
  const std::string line =
      R"({"messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "a"},)"
      R"( {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},)"
      R"( {"role": "assistant", "content": "d"}]})";
  EXPECT_EQ(files.shown(FinetuneTask::chat, line),
            "<|system|>short<|end|><|user|>a<|end|><|assistant|>[b<|end|>]<|user|>c<|end|>"
            "<|assistant|>[d<|end|>]");
  EXPECT_EQ(files.shown(FinetuneTask::chat, R"({"prompt": "a", "completion": "b"})"),
            "<|user|>a<|end|><|assistant|>[b<|end|>]");
}

TEST(Examples, tasks_have_the_shapes_of_the_paper) {
  const Reading files;
  EXPECT_EQ(files.shown(FinetuneTask::classification, R"({"text": "fox", "label": 1})"),
            "<|start|>[fox<|extract|>]");
  EXPECT_EQ(files.shown(FinetuneTask::entailment,
                        R"({"premise": "a", "hypothesis": "b", "label": "no"})"),
            "<|start|>[a<|delimiter|>b<|extract|>]");
  const std::string same = R"({"first": "a", "second": "b", "label": true})";
  EXPECT_EQ(files.shown(FinetuneTask::similarity, same), "<|start|>[a<|delimiter|>b<|extract|>]");
  EXPECT_EQ(files.shown(FinetuneTask::similarity, same, 1),
            "<|start|>[b<|delimiter|>a<|extract|>]");
  const std::string choice =
      R"({"context": "the ", "question": "dog?", "choices": ["x", "y", "z"], "label": "y"})";
  EXPECT_EQ(files.shown(FinetuneTask::multiple_choice, choice, 2),
            "<|start|>[the dog?<|delimiter|>z<|extract|>]");
  EXPECT_EQ(files.read(FinetuneTask::multiple_choice, choice).label(0), 1);
}

TEST(Examples, classes_are_named_in_order_and_an_unknown_one_is_an_error) {
  const Reading files;
  const auto lines = [](std::initializer_list<const char*> labels) {
    std::string text;
    for (const char* label : labels)
      text += fmt::format("{{\"text\": \"fox\", \"label\": {}}}\n\n", label);
    return text;
  };
  const Examples numbers = files.read(FinetuneTask::classification, lines({"10", "9", "10"}));
  EXPECT_EQ(numbers.labels(), (std::vector<std::string>{"9", "10"}));
  EXPECT_EQ(numbers.label(0), 1);
  EXPECT_EQ(numbers.label(1), 0);
  const Examples named =
      files.read(FinetuneTask::classification, lines({"\"up\""}), 1000, {"up", "down"});
  EXPECT_EQ(named.labels().size(), 2u);
  EXPECT_TRUE(
      fails_with("examples.jsonl, line 3: the label \"left\" is none of the classes up, down", [&] {
        files.read(FinetuneTask::classification, lines({"\"up\"", "\"left\""}), 1000,
                   {"up", "down"});
      }));
}

TEST(Examples, what_is_too_long_is_shortened_where_it_hurts_least) {
  const Reading files;
  const auto shortened = [&](FinetuneTask task, const std::string& line, int64_t most) {
    const Examples examples = files.read(task, line + "\n", most);
    EXPECT_EQ(examples.shortened(), 1);
    EXPECT_EQ(examples.longest(), most);
    return files.shown(task, examples.tokens(0, 0));
  };
  // Single letters between spaces: one token each, whatever the merges.
  EXPECT_EQ(shortened(FinetuneTask::completion, R"({"prompt": "q!q!q!", "completion": "#"})", 4),
            "q![#<|endoftext|>]");
  EXPECT_EQ(shortened(FinetuneTask::entailment,
                      R"({"premise": "q!q!q!q!", "hypothesis": "#", "label": 0})", 8),
            "<|start|>[q!q!<|delimiter|>#<|extract|>]");
  EXPECT_TRUE(fails_with("line 1: the completion alone has", [&] {
    files.read(FinetuneTask::completion, R"({"prompt": "q", "completion": "q!q!q!q!"})", 4);
  }));
}

TEST(Examples, bad_lines_are_refused_with_file_and_line) {
  const Reading files;
  const std::vector<std::tuple<FinetuneTask, std::string, std::string>> bad = {
      {FinetuneTask::completion, "{\"prompt\": \"a\"", "this is not a JSON object"},
      {FinetuneTask::completion, R"({"prompt": "a"})", "there is no field \"completion\""},
      {FinetuneTask::completion, R"({"prompt": 3, "completion": "a"})",
       "\"prompt\" is not a string"},
      {FinetuneTask::chat, R"({"messages": [{"role": "robot", "content": ""}]})",
       "the role \"robot\""},
      {FinetuneTask::chat, R"({"messages": [{"role": "user", "content": ""}]})",
       "there is no answer of the assistant"},
      {FinetuneTask::classification, R"({"text": "a", "label": 0.5})", "\"label\" is neither"},
      {FinetuneTask::multiple_choice, R"({"context": "a", "choices": ["b"], "label": 0})",
       "\"choices\" is not a list of two or more"},
      {FinetuneTask::multiple_choice, R"({"context": "a", "choices": ["b", "c"], "label": 2})",
       "\"label\" is 2, but the 2 choices are 0 to 1"},
  };
  for (const auto& [task, line, sentence] : bad)
    EXPECT_TRUE(fails_with("examples.jsonl, line 2: " + sentence, [&] {
      files.read(task, "\n" + line + "\n");
    })) << line;
  EXPECT_TRUE(fails_with("has no examples", [&] { files.read(FinetuneTask::completion, "\n"); }));
}

TEST(Examples, rows_ask_for_what_is_counted_and_for_nothing_else) {
  std::vector<int32_t> ids(6), targets(6);
  lay_out(std::vector<int32_t>{5, 6, ~7, ~8}, 0, ids, targets);
  EXPECT_EQ(ids, (std::vector<int32_t>{5, 6, 7, 8, 0, 0}));
  EXPECT_EQ(targets, (std::vector<int32_t>{-1, 7, 8, -1, -1, -1}));
  ids.resize(3), targets.resize(3);
  lay_out(std::vector<int32_t>{5, 6, ~7, ~8}, 0, ids, targets);
  EXPECT_EQ(ids, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(targets, (std::vector<int32_t>{-1, 7, 8}));
}

TEST(Marks, come_behind_the_vocabulary_once_and_change_no_text) {
  const Tokenizer base = small_tokenizer();
  const Tokenizer marked = with_marks(base, FinetuneTask::chat);
  EXPECT_EQ(marked.vocabulary(), base.vocabulary() + 4);
  EXPECT_EQ(marked.special("<|system|>"), base.vocabulary());
  EXPECT_EQ(ids_of(marked, small_corpus()), ids_of(base, small_corpus()));
  EXPECT_EQ(with_marks(marked, FinetuneTask::chat).fingerprint(), marked.fingerprint());
  EXPECT_EQ(with_marks(base, FinetuneTask::completion).fingerprint(), base.fingerprint());
}

}  // namespace
}  // namespace katman::testing
