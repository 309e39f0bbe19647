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
  EXPECT_TRUE(has(refusal_of("device.precision=fp4"), "bf16 or fp8"));
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

RunSpec completed(const std::string& text) {
  RunSpec spec = spec_of(text);
  complete(spec, "run");
  return spec;
}

TEST(Spec, a_preset_brings_its_published_recipe) {
  const RunSpec gpt3 =
      completed(R"(steps: 600000 model { preset: "gpt3-125m" } data { corpus: "corpus" })");
  EXPECT_FLOAT_EQ(gpt3.learning_rate().peak(), 6e-4f);
  EXPECT_EQ(gpt3.data().batch_tokens(), 524288u);
  EXPECT_EQ(gpt3.data().batch_ramp_tokens(), 4'000'000'000u);
  const TrainConfig config = train_config(gpt3, 50257);
  EXPECT_EQ(config.batches().sequences(0), 16);
  EXPECT_EQ(config.batches().sequences(599'999), 256);
  // 375 million tokens, of which most are read while the batch is small.
  const auto warm = static_cast<int64_t>(gpt3.learning_rate().warmup_steps());
  EXPECT_NEAR(static_cast<double>(config.batches().first(warm)) * 2048, 375e6, 524288);
  EXPECT_EQ(to_text(completed(to_text(gpt3))), to_text(gpt3));

  const RunSpec gpt1 =
      completed(R"(steps: 100000 model { preset: "gpt1-117m" } data { corpus: "corpus" })");
  EXPECT_EQ(gpt1.data().batch_tokens(), 64u * 512);
  EXPECT_EQ(gpt1.data().batch_ramp_tokens(), 0u);
  EXPECT_EQ(gpt1.learning_rate().warmup_steps(), 2000u);
  EXPECT_FLOAT_EQ(gpt1.learning_rate().peak(), 2.5e-4f);
  EXPECT_FLOAT_EQ(gpt1.learning_rate().final_fraction(), 0);
  EXPECT_FLOAT_EQ(gpt1.optimizer().weight_decay(), 0.01f);
  EXPECT_FLOAT_EQ(train_config(gpt1, 40478).model.dropout, 0.1f);
}

TEST(Spec, what_the_run_file_says_stands_against_the_recipe) {
  const RunSpec spec = completed(
      R"(steps: 1000 model { preset: "gpt3-125m" window: 0 norm: RMSNORM dropout: 0.1 }
         data { corpus: "corpus" batch_tokens: 65536 }
         learning_rate { peak: 1e-3 } optimizer { beta2: 0.99 })");
  EXPECT_EQ(spec.data().batch_ramp_tokens(), 0u);
  EXPECT_FLOAT_EQ(spec.learning_rate().peak(), 1e-3f);
  EXPECT_EQ(spec.learning_rate().warmup_steps(), 100u);  // a tenth: theirs is longer
  EXPECT_FLOAT_EQ(spec.optimizer().beta2(), 0.99f);
  const GptConfig model = train_config(spec, 50257).model;
  EXPECT_EQ(model.window, 0);
  EXPECT_EQ(model.norm, NormKind::rms);
  EXPECT_FLOAT_EQ(model.dropout, 0.1f);
}

TEST(Spec, fields_of_a_llama_reach_the_model) {
  RunSpec spec = good();
  for (const char* set :
       {"model.preset=llama-tiny", "model.groups=1", "model.rotary.theta=1234",
        "model.rotary.factor=2", "model.norm_epsilon=1e-6", "model.biases=true",
        "model.tied_embedding=true", "data.document_attention=true", "data.mask_fraction=0.2"})
    set_field(spec, set);
  complete(spec, "run");
  const TrainConfig config = train_config(spec, 300);
  EXPECT_EQ(config.model.groups(), 1);
  EXPECT_FLOAT_EQ(config.model.rotary.theta, 1234);
  EXPECT_FLOAT_EQ(config.model.rotary.factor, 2);
  EXPECT_FLOAT_EQ(config.model.norm_epsilon, 1e-6f);
  EXPECT_TRUE(config.model.biases && config.model.tied_embedding && config.documents);
  EXPECT_EQ(config.model.activation, Activation::swiglu);
  EXPECT_EQ(config.model.vocabulary, 301);  // and the mask
}

TEST(Spec, impossible_models_and_data_options_are_refused_by_name) {
  EXPECT_TRUE(
      has(refusal_of("model.groups=3"), "model.heads = 4 is not a multiple of model.groups"));
  EXPECT_TRUE(has(refusal_of("model.groups=0"), "model.groups"));
  EXPECT_TRUE(has(refusal_of("model.norm=BATCHNORM"), "BATCHNORM"));
  EXPECT_TRUE(has(refusal_of("model.norm_epsilon=0"), "model.norm_epsilon"));
  EXPECT_TRUE(has(refusal_of("data.mask_fraction=1"), "data.mask_fraction"));
  EXPECT_TRUE(has(refusal_of("data.mask_loss_only=true"), "data.mask_fraction"));
  EXPECT_TRUE(has(refusal_of("data.batch_start_tokens=64"), "data.batch_ramp_tokens"));
  EXPECT_TRUE(has(refusal([] {
                    completed(R"(steps: 9 model { preset: "tiny" } data { corpus: "c"
                      batch_tokens: 640 batch_start_tokens: 1280 batch_ramp_tokens: 9999 })");
                  }),
                  "data.batch_start_tokens"));
  const auto tp = refusal([] {
    completed(R"(steps: 9 model { preset: "llama-tiny" } data { corpus: "c" } mesh { tp: 4 })");
  });
  EXPECT_TRUE(has(tp, "model.groups = 2 is not a multiple of mesh.tp = 4") && has(tp, "tp=2"))
      << tp;
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
