#include "orchestrator/control/spec.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace katman {
namespace {

RunSpec spec_of(const std::string& text) { return parse_run_spec(text, "test.textproto"); }

// A spec that passes every check as it is.
RunSpec good() {
  return spec_of(R"(steps: 100 model { preset: "tiny" } data { corpus: "corpus" })");
}

// The sentence that `action` refuses with.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(accepted)";
}

std::string refusal_of(const std::string& assignment) {
  return refusal([&] {
    RunSpec spec = good();
    set_field(spec, assignment);
    complete(spec, "run");
  });
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Spec, completing_fills_every_default_and_is_idempotent) {
  RunSpec spec = good();
  complete(spec, "first");
  EXPECT_EQ(spec.name(), "first");
  EXPECT_EQ(spec.directory(), "runs/first");
  EXPECT_EQ(spec.mesh().tp(), 1u);
  EXPECT_FLOAT_EQ(spec.optimizer().beta2(), 0.95f);
  EXPECT_EQ(spec.device().precision(), "bf16");
  RunSpec again = spec;
  complete(again, "second");
  EXPECT_EQ(to_text(again), to_text(spec));
}

TEST(Spec, text_round_trips) {
  RunSpec spec = good();
  complete(spec, "run");
  EXPECT_EQ(to_text(parse_run_spec(to_text(spec), "copy")), to_text(spec));
}

TEST(Spec, an_unknown_field_is_refused_with_line_and_the_fields_there_are) {
  const auto sentence = refusal([] { spec_of("steps: 3\nmodle { }\n"); });
  EXPECT_TRUE(has(sentence, "test.textproto")) << sentence;
  EXPECT_TRUE(has(sentence, "line 2")) << sentence;
  EXPECT_TRUE(has(sentence, "modle")) << sentence;
  EXPECT_TRUE(has(sentence, "optimizer")) << sentence;
}

TEST(Spec, set_reaches_numbers_strings_and_kinds_by_path) {
  RunSpec spec = good();
  set_field(spec, "model.layers=7");
  set_field(spec, "data.corpus=some where/else");
  set_field(spec, "learning_rate.kind=LINEAR");
  set_field(spec, "learning_rate.peak=2.5e-4");
  set_field(spec, "model.tied_embedding=false");
  EXPECT_EQ(spec.model().layers(), 7u);
  EXPECT_EQ(spec.data().corpus(), "some where/else");
  EXPECT_EQ(spec.learning_rate().kind(), ScheduleSpec::LINEAR);
  EXPECT_FLOAT_EQ(spec.learning_rate().peak(), 2.5e-4f);
  EXPECT_FALSE(spec.model().tied_embedding());
}

TEST(Spec, set_says_which_fields_exist_where_the_path_goes_wrong) {
  EXPECT_TRUE(has(refusal_of("model.layer=7"), "layers")) << refusal_of("model.layer=7");
  EXPECT_TRUE(has(refusal_of("model=7"), "preset"));
  EXPECT_TRUE(has(refusal_of("steps.x=7"), "no fields of its own"));
  EXPECT_TRUE(has(refusal_of("steps"), "path=value"));
  EXPECT_TRUE(has(refusal_of("steps=many"), "many"));
  EXPECT_TRUE(has(refusal_of("model.layers=-1"), "-1"));
}

TEST(Spec, impossible_values_are_refused_by_name) {
  EXPECT_TRUE(has(refusal_of("steps=0"), "steps"));
  EXPECT_TRUE(has(refusal_of("data.corpus="), "data.corpus"));
  EXPECT_TRUE(has(refusal_of("name=../up"), "name"));
  EXPECT_TRUE(has(refusal_of("model.preset=gpt9"), "gpt2-124m"));
  EXPECT_TRUE(has(refusal_of("model.dropout=1"), "model.dropout"));
  EXPECT_TRUE(has(refusal_of("model.heads=0"), "model.heads"));
  EXPECT_TRUE(has(refusal_of("optimizer.beta1=1.5"), "optimizer.beta1"));
  EXPECT_TRUE(has(refusal_of("optimizer.clip_norm=-1"), "optimizer.clip_norm"));
  EXPECT_TRUE(has(refusal_of("optimizer.epsilon=nan"), "optimizer.epsilon"));
  EXPECT_TRUE(has(refusal_of("learning_rate.peak=-1"), "learning_rate.peak"));
  EXPECT_TRUE(has(refusal_of("learning_rate.warmup_steps=101"), "learning_rate.warmup_steps"));
  EXPECT_TRUE(has(refusal_of("mesh.schedule=magic"), "zero_bubble"));
  EXPECT_TRUE(has(refusal_of("checkpoint.keep_last=0"), "checkpoint.keep_last"));
  EXPECT_TRUE(has(refusal_of("device.kind=abacus"), "device.kind"));
  EXPECT_TRUE(has(refusal_of("device.precision=fp8"), "device.precision"));
  EXPECT_TRUE(has(refusal_of("device.precision=tf32"), "only CUDA"));
  EXPECT_TRUE(has(refusal_of("device.threads=100000"), "device.threads"));
  EXPECT_TRUE(has(refusal_of("learning_rate.kind=9"), "WARMUP_STABLE_DECAY"));
  EXPECT_TRUE(has(refusal_of("model.layers=4000000000"), "model.layers"));
  EXPECT_TRUE(has(refusal_of("mesh.schedule=file:/nowhere"), "/nowhere"));
}

TEST(Spec, the_largest_batch_that_can_be_written_down_is_not_taken_for_none) {
  RunSpec spec = good();
  set_field(spec, "data.batch_tokens=4294967295");
  const auto sentence = refusal([&] { complete(spec, "run"); });
  EXPECT_TRUE(has(sentence, "data.micro_batch") && has(sentence, "at most 16383")) << sentence;
  set_field(spec, "data.micro_batch=100000");
  complete(spec, "run");
  EXPECT_GT(train_config(spec, 1000).batch_sequences, 1'000'000);
}

TEST(Spec, a_batch_too_small_for_the_replicas_is_refused_with_one_that_is_not) {
  const auto sentence = refusal([] {
    RunSpec spec = good();
    set_field(spec, "data.batch_tokens=1");
    set_field(spec, "mesh.dp=8");
    complete(spec, "run");
  });
  EXPECT_TRUE(has(sentence, "data.batch_tokens") && has(sentence, "at least")) << sentence;
}

TEST(Spec, differences_name_the_field_and_both_values) {
  RunSpec before = good(), after = good();
  set_field(after, "steps=200");
  const auto lines = differences(before, after);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(has(lines[0], "steps") && has(lines[0], "100") && has(lines[0], "200")) << lines[0];
}

}  // namespace
}  // namespace katman
