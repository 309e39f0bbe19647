#include "orchestrator/control/spec.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "core/cuda_library.h"
#include "core/error.h"
#include "core/model/presets.h"
#include "orchestrator/control/finetune_spec.h"
#include "orchestrator/control/recipe.h"
#include "orchestrator/finetune/start.h"
#include "parallel/pipeline/schedule.h"

namespace katman {
namespace {

template <class Field>
void default_to(Field& field, Field value) {
  if (field == Field{}) field = value;
}

bool is_one_of(const std::string& value, std::initializer_list<const char*> choices) {
  return std::ranges::any_of(choices, [&](const char* choice) { return value == choice; });
}

void check_name(const std::string& name) {
  const bool safe = !name.empty() && name.front() != '.' && name.size() <= 128 &&
                    std::ranges::all_of(name, [](unsigned char c) {
                      return std::isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
  require_usage(safe, "name '{}': use letters, digits, '-', '_' and '.', for it names a directory",
                name);
}

void complete_identity(RunSpec& spec, const std::string& fallback_name) {
  if (spec.name().empty()) spec.set_name(fallback_name);
  check_name(spec.name());
  if (spec.directory().empty()) spec.set_directory("runs/" + spec.name());
  require_usage(spec.steps() >= 1,
                "steps is missing: say how many optimizer steps the run has, "
                "for example steps: 1000");
}

void complete_batch_ramp(DataSpec& data) {
  if (!data.has_batch_ramp_tokens()) data.set_batch_ramp_tokens(0);
  require_usage(data.batch_ramp_tokens() > 0 || data.batch_start_tokens() == 0,
                "data.batch_start_tokens is {}, but data.batch_ramp_tokens = 0 says that the batch "
                "does not grow",
                data.batch_start_tokens());
  if (data.batch_ramp_tokens() == 0) return;
  if (data.batch_start_tokens() == 0)
    data.set_batch_start_tokens(std::min(32768u, data.batch_tokens()));
  require_usage(data.batch_start_tokens() <= data.batch_tokens(),
                "data.batch_start_tokens is {}, more than data.batch_tokens = {}, which the batch "
                "grows to",
                data.batch_start_tokens(), data.batch_tokens());
}

void complete_data(RunSpec& spec) {
  auto& data = *spec.mutable_data();
  require_usage(!data.corpus().empty(),
                "data.corpus is missing: name the directory that `katman data build` wrote");
  const auto sequence = static_cast<uint64_t>(model_config(spec, 1).sequence);
  apply_recipe(spec, static_cast<int64_t>(sequence));
  const uint64_t replicas = spec.mesh().dp();
  if (data.batch_tokens() == 0) {
    require_usage(16 * sequence * replicas <= UINT32_MAX,
                  "data.batch_tokens is missing, and 16 sequences of {} tokens for each of {} "
                  "replicas are too many: say how many",
                  sequence, replicas);
    data.set_batch_tokens(static_cast<uint32_t>(16 * sequence * replicas));
  }
  const uint64_t sequences = (data.batch_tokens() + sequence - 1) / sequence;
  require_usage(
      sequences >= replicas,
      "data.batch_tokens is {} = {} sequences of {} tokens, fewer than mesh.dp = {} replicas: "
      "use at least {}",
      data.batch_tokens(), sequences, sequence, replicas, replicas * sequence);
  const uint64_t share = (sequences + replicas - 1) / replicas;
  if (data.micro_batch() == 0)
    data.set_micro_batch(static_cast<uint32_t>(std::clamp<uint64_t>(4096 / sequence, 1, share)));
  complete_batch_ramp(data);
  require_usage(
      data.mask_fraction() >= 0 && data.mask_fraction() < 1,
      "data.mask_fraction is {}; it is a share of the input tokens, 0 or more and below 1",
      data.mask_fraction());
  require_usage(data.mask_fraction() > 0 || (!data.mask_loss_only() && !data.has_mask_token()),
                "data.mask_loss_only and data.mask_token mean nothing with data.mask_fraction = 0: "
                "set it, for example to 0.2");
}

void complete_optimizer(RunSpec& spec) {
  auto& adam = *spec.mutable_optimizer();
  if (adam.beta1() == 0) adam.set_beta1(0.9f);
  if (adam.beta2() == 0) adam.set_beta2(0.95f);
  if (adam.epsilon() == 0) adam.set_epsilon(1e-8f);
  if (!adam.has_weight_decay()) adam.set_weight_decay(0.1f);
  if (!adam.has_clip_norm()) adam.set_clip_norm(1.0f);
  const auto check = [](const char* field, float value, bool ok, const char* range) {
    require_usage(ok && std::isfinite(value), "optimizer.{} is {}; it must be {}", field, value,
                  range);
  };
  check("beta1", adam.beta1(), adam.beta1() > 0 && adam.beta1() < 1, "between 0 and 1");
  check("beta2", adam.beta2(), adam.beta2() > 0 && adam.beta2() < 1, "between 0 and 1");
  check("epsilon", adam.epsilon(), adam.epsilon() > 0, "positive");
  check("weight_decay", adam.weight_decay(), adam.weight_decay() >= 0, "0 or more");
  check("clip_norm", adam.clip_norm(), adam.clip_norm() >= 0, "0 (no clipping) or more");
}

void complete_learning_rate(RunSpec& spec) {
  auto& rate = *spec.mutable_learning_rate();
  if (rate.peak() == 0) rate.set_peak(6e-4f);
  if (!rate.has_final_fraction()) rate.set_final_fraction(0.1f);
  if (!rate.has_warmup_steps()) rate.set_warmup_steps(spec.steps() / 50);
  if (!rate.has_decay_steps()) rate.set_decay_steps(spec.steps() / 5);
  require_usage(ScheduleSpec::Kind_IsValid(rate.kind()),
                "learning_rate.kind is {}; use COSINE, LINEAR, WARMUP_STABLE_DECAY or CONSTANT",
                static_cast<int>(rate.kind()));
  require_usage(rate.peak() > 0 && std::isfinite(rate.peak()),
                "learning_rate.peak is {}; it must be positive", rate.peak());
  require_usage(rate.final_fraction() >= 0 && rate.final_fraction() <= 1,
                "learning_rate.final_fraction is {}; it is a fraction of the peak, from 0 to 1",
                rate.final_fraction());
  require_usage(rate.warmup_steps() <= spec.steps(),
                "learning_rate.warmup_steps is {}, but the run has only {} steps",
                rate.warmup_steps(), spec.steps());
}

void complete_mesh(RunSpec& spec) {
  auto& mesh = *spec.mutable_mesh();
  if (mesh.tp() == 0) mesh.set_tp(1);
  if (mesh.dp() == 0) mesh.set_dp(1);
  if (mesh.pp() == 0) mesh.set_pp(1);
  if (mesh.schedule().empty()) mesh.set_schedule("1f1b");
  if (mesh.chunks() == 0) mesh.set_chunks(mesh.schedule() == "interleaved" ? 2 : 1);
  if (mesh.recompute().empty()) mesh.set_recompute("none");
  require_usage(std::ranges::count(schedule_kinds, mesh.schedule()) > 0 ||
                    mesh.schedule().starts_with("file:"),
                "mesh.schedule is '{}'; use {} or file:PATH", mesh.schedule(),
                fmt::join(schedule_kinds, ", "));
  require_usage(is_one_of(mesh.recompute(), {"none", "selective", "full"}),
                "mesh.recompute is '{}'; use none, selective or full", mesh.recompute());
  require_usage(mesh.tp() <= 1024 && mesh.dp() <= 65536 && mesh.pp() <= 1024 &&
                    uint64_t{mesh.tp()} * mesh.dp() * mesh.pp() <= 65536,
                "mesh tp={} dp={} pp={} is beyond any machine this was made for", mesh.tp(),
                mesh.dp(), mesh.pp());
  require_usage(mesh.chunks() <= 1024, "mesh.chunks is {}; use at most 1024", mesh.chunks());
}

void complete_evaluation(RunSpec& spec) {
  if (!spec.has_evaluation()) return;
  EvaluationSpec& evaluation = *spec.mutable_evaluation();
  require_usage(
      !evaluation.tasks().empty(),
      "evaluation.tasks is missing: name task files, builtin:arithmetic, builtin:words or "
      "cloze:CORPUS");
  if (evaluation.every_steps() == 0) evaluation.set_every_steps(spec.validation().every_steps());
  if (evaluation.shots().empty()) evaluation.add_shots(0);
  for (const uint32_t shots : evaluation.shots())
    require_usage(std::ranges::count(evaluation.shots(), shots) == 1,
                  "evaluation.shots names {} more than once", shots);
  if (!evaluation.has_limit()) evaluation.set_limit(100);
}

constexpr uint32_t most_ranks_per_node = 8;  // where the run file says nothing: the usual machine

void complete_rest(RunSpec& spec) {
  auto& validation = *spec.mutable_validation();
  if (validation.every_steps() == 0) validation.set_every_steps(100);
  if (validation.sequences() == 0 && !spec.has_finetune()) validation.set_sequences(64);
  auto& checkpoint = *spec.mutable_checkpoint();
  if (checkpoint.every_steps() == 0) checkpoint.set_every_steps(500);
  if (!checkpoint.has_keep_last()) checkpoint.set_keep_last(2);
  require_usage(
      checkpoint.keep_last() >= 1,
      "checkpoint.keep_last is 0, which would delete the newest one too; keep at least 1");
  auto& device = *spec.mutable_device();
  if (device.kind().empty()) device.set_kind("auto");
  if (device.precision().empty()) device.set_precision("bf16");
  require_usage(
      is_one_of(device.kind(), {"auto", "cpu", "reference"}) || cuda_device_of(device.kind()),
      "device.kind is '{}'; use auto, cpu, reference, cuda or cuda:N", device.kind());
  require_usage(is_one_of(device.precision(), {"fp32", "tf32", "bf16", "fp8"}),
                "device.precision is '{}'; use fp32, tf32, bf16 or fp8", device.precision());
  require_usage(device.precision() != "tf32" || device.kind().starts_with("cuda"),
                "device.precision is tf32, which only CUDA devices have; with device.kind '{}' use "
                "fp32 or bf16",
                device.kind());
  require_usage(device.threads() <= 1024, "device.threads is {}; use at most 1024",
                device.threads());
}

// What reaches a batch script and sbatch's command line. No white space, no quotes, nothing that a
// shell would read.
void check_word(const char* field, const std::string& word) {
  const bool plain = word.size() <= 256 && std::ranges::all_of(word, [](unsigned char c) {
                       return std::isalnum(c) || std::strchr("-_.,:=@&|/*[]()", c);
                     });
  require_usage(plain, "launch.{} is '{}'; it is one word of letters, digits and -_.,:=@&|/*[]()",
                field, word);
}

void complete_launch(RunSpec& spec) {
  auto& launch = *spec.mutable_launch();
  require_usage(
      launch.launcher().empty() || is_one_of(launch.launcher(), {"local", "slurm", "command"}),
      "launch.launcher is '{}'; use local, slurm or command", launch.launcher());
  if (launch.notice_s() == 0) launch.set_notice_s(120);
  require_usage(launch.notice_s() <= 65535, "launch.notice_s is {}; SLURM knows at most 65535",
                launch.notice_s());
  if (launch.threads_per_rank() == 0)
    launch.set_threads_per_rank(std::max(1u, spec.device().threads()));
  const uint32_t tp = spec.mesh().tp(), ranks = tp * spec.mesh().dp() * spec.mesh().pp();
  if (launch.ranks_per_node() == 0)
    launch.set_ranks_per_node(std::min(ranks, std::max(tp, most_ranks_per_node / tp * tp)));
  check_word("partition", launch.partition());
  check_word("account", launch.account());
  check_word("qos", launch.qos());
  check_word("constraint", launch.constraint());
  check_word("gres", launch.gres());
}

void complete_recovery(RunSpec& spec) {
  auto& recovery = *spec.mutable_recovery();
  if (recovery.on_bad_step().empty()) recovery.set_on_bad_step("skip");
  if (recovery.skip_batches() == 0) recovery.set_skip_batches(1);
  if (!recovery.has_most_rollbacks()) recovery.set_most_rollbacks(3);
  require_usage(is_one_of(recovery.on_bad_step(), {"skip", "rollback"}),
                "recovery.on_bad_step is '{}'; use skip or rollback", recovery.on_bad_step());
  require_usage(recovery.spike_factor() == 0 || recovery.spike_factor() > 1,
                "recovery.spike_factor is {}; it is how many times the recent mean a loss must be "
                "to be a spike: above 1, or 0 for never",
                recovery.spike_factor());
  require_usage(recovery.spike_factor() == 0 || recovery.on_bad_step() == "rollback",
                "recovery.spike_factor does nothing unless recovery.on_bad_step is rollback");
}

// The fields of a model that are not sizes.
void override_kinds(GptConfig& config, const ModelSpec& model) {
  if (model.has_tied_embedding()) config.tied_embedding = model.tied_embedding();
  if (model.has_dropout()) config.dropout = model.dropout();
  if (model.has_norm()) config.norm = static_cast<NormKind>(model.norm());
  if (model.has_norm_place()) config.norm_place = static_cast<NormPlace>(model.norm_place());
  if (model.has_norm_epsilon()) config.norm_epsilon = model.norm_epsilon();
  if (model.has_activation()) config.activation = static_cast<Activation>(model.activation());
  if (model.has_positions()) config.positions = static_cast<Positions>(model.positions());
  if (model.has_biases()) config.biases = model.biases();
  if (model.has_window()) config.window = model.window();
  if (model.has_scaled_init()) config.scaled_init = model.scaled_init();
  const auto& rotary = model.rotary();
  if (rotary.has_theta()) config.rotary.theta = rotary.theta();
  if (rotary.has_factor()) config.rotary.factor = rotary.factor();
  if (rotary.has_low()) config.rotary.low = rotary.low();
  if (rotary.has_high()) config.rotary.high = rotary.high();
  if (rotary.has_original()) config.rotary.original = rotary.original();
}

// Large enough for any mesh: the tokenizer's is known when the corpus is opened.
constexpr int64_t unknown_vocabulary = 1 << 16;

}  // namespace

void complete(RunSpec& spec, const std::string& fallback_name) {
  complete_identity(spec, fallback_name);
  complete_mesh(spec);
  if (spec.has_finetune()) {
    complete_finetune(spec);
  } else {
    if (spec.model().preset().empty()) spec.mutable_model()->set_preset("gpt2-124m");
    complete_data(spec);
  }
  complete_optimizer(spec);
  complete_learning_rate(spec);
  complete_rest(spec);
  complete_evaluation(spec);
  complete_launch(spec);
  complete_recovery(spec);
  const auto& model = spec.model();
  train_config(spec, model.has_vocabulary() ? 1 : unknown_vocabulary).check();
}

void set_layout(RunSpec& spec, const Mesh& mesh) {
  spec.mutable_mesh()->set_tp(static_cast<uint32_t>(mesh.tp));
  spec.mutable_mesh()->set_dp(static_cast<uint32_t>(mesh.dp));
  spec.mutable_mesh()->set_pp(static_cast<uint32_t>(mesh.pp));
}

GptConfig model_config(const RunSpec& spec, int64_t tokenizer_vocabulary) {
  const auto& model = spec.model();
  GptConfig config = spec.has_finetune() ? starting_model(spec) : gpt_preset(model.preset());
  override_kinds(config, model);
  const auto set = [&](bool given, auto value, int64_t& field, const char* name) {
    if (!given) return;
    require_usage(value > 0, "model.{} is 0; leave it out for the preset's {}", name, field);
    field = value;
  };
  set(model.has_layers(), model.layers(), config.layers, "layers");
  set(model.has_hidden(), model.hidden(), config.hidden, "hidden");
  set(model.has_heads(), model.heads(), config.heads, "heads");
  set(model.has_sequence(), model.sequence(), config.sequence, "sequence");
  const bool own_mask = spec.data().mask_fraction() > 0 && !spec.data().has_mask_token();
  if (own_mask) ++tokenizer_vocabulary;
  config.vocabulary = spec.has_finetune() ? std::max(config.vocabulary, tokenizer_vocabulary)
                                          : tokenizer_vocabulary;
  set(model.has_vocabulary(), model.vocabulary(), config.vocabulary, "vocabulary");
  require_usage(
      config.vocabulary >= tokenizer_vocabulary,
      "model.vocabulary is {}, but the corpus's tokenizer{} makes ids up to {}: leave it out, "
      "or give at least {}",
      config.vocabulary, own_mask ? " with data.mask_token's default behind it" : "",
      tokenizer_vocabulary - 1, tokenizer_vocabulary);
  set(model.has_feed_forward(), model.feed_forward(), config.feed_forward, "feed_forward");
  set(model.has_groups(), model.groups(), config.kv_groups, "groups");
  set(model.has_window_every(), model.window_every(), config.window_every, "window_every");
  require_usage(config.dropout >= 0 && config.dropout < 1,
                "model.dropout is {}; it is a probability, 0 or more and below 1", config.dropout);
  return config;
}

TrainConfig train_config(const RunSpec& spec, int64_t tokenizer_vocabulary) {
  TrainConfig config;
  config.model = model_config(spec, tokenizer_vocabulary);
  require_usage(spec.data().mask_token() < config.model.vocabulary,
                "data.mask_token is {}; it must be a token of the model, below {}",
                spec.data().mask_token(), config.model.vocabulary);
  config.mesh = {static_cast<int>(spec.mesh().tp()), static_cast<int>(spec.mesh().dp()),
                 static_cast<int>(spec.mesh().pp())};
  const auto& adam = spec.optimizer();
  config.adam = {adam.beta1(), adam.beta2(), adam.epsilon(), adam.weight_decay(), adam.clip_norm()};
  const auto& rate = spec.learning_rate();
  config.rate.kind = static_cast<LearningRate::Kind>(rate.kind());
  config.rate.peak = rate.peak();
  config.rate.final_fraction = rate.final_fraction();
  config.rate.warmup_steps = static_cast<int64_t>(rate.warmup_steps());
  config.rate.decay_steps = static_cast<int64_t>(rate.decay_steps());
  config.rate.total_steps = static_cast<int64_t>(spec.steps());
  config.steps = static_cast<int64_t>(spec.steps());
  if (spec.has_finetune()) {
    config.batch_sequences = static_cast<int64_t>(spec.finetune().batch());
  } else {
    const BatchInSequences batch = batch_in_sequences(spec.data(), config.model.sequence);
    config.batch_sequences = batch.full;
    config.ramp_start = batch.start;
    config.ramp_sequences = batch.ramp;
  }
  config.documents = spec.data().document_attention();
  config.micro_batch = std::max<int64_t>(1, spec.data().micro_batch());
  config.fp8 = spec.device().precision() == "fp8";
  config.precision = config.fp8 || spec.device().precision() == "bf16" ? DType::bf16 : DType::f32;
  config.seed = spec.seed();
  config.schedule = spec.mesh().schedule();
  config.chunks = static_cast<int>(spec.mesh().chunks());
  config.recompute = spec.mesh().recompute() == "full"        ? Recompute::full
                     : spec.mesh().recompute() == "selective" ? Recompute::selective
                                                              : Recompute::none;
  config.sequence_parallel = spec.mesh().sequence_parallel();
  return config;
}

}  // namespace katman
