#include "orchestrator/finetune/finetune_data.h"

#include <algorithm>

#include "core/log.h"
#include "data_pipeline/corpus/permute.h"
#include "orchestrator/finetune/start.h"

namespace katman {
namespace {

constexpr int64_t granule = 16;  // tokens: lengths are rounded up to it

// The last token of a text is only said, that of a task is what the head looks at.
int64_t inputs(Task task, int64_t tokens) { return has_head(task) ? tokens : tokens - 1; }

int64_t most_tokens(const RunSpec& spec, Task task) {
  const int64_t positions = starting_model(spec).sequence;
  const int64_t length = spec.finetune().length() ? spec.finetune().length() : positions;
  require_usage(length <= positions, "finetune.length is {}, but the model has {} positions",
                length, positions);
  return has_head(task) ? length : length + 1;
}

}  // namespace

FinetuneData::FinetuneData(const RunSpec& spec)
    : spec_(spec),
      task_(task_of(spec)),
      tokenizer_(starting_tokenizer(spec)),
      most_tokens_(most_tokens(spec, task_)),
      train_(read(spec.finetune().train(),
                  {spec.finetune().labels().begin(), spec.finetune().labels().end()})),
      each_(train_.sequences()) {
  if (spec.finetune().held_out_size() == 0) return;
  held_out_ = read(spec.finetune().held_out(), train_.labels());
  each_ = std::max(each_, held_out_->sequences());
}

Examples FinetuneData::read(const google::protobuf::RepeatedPtrField<std::string>& files,
                            const std::vector<std::string>& labels) const {
  const ExampleFormat format{.task = task_, .most_tokens = most_tokens_, .labels = labels};
  Examples examples = Examples::read({files.begin(), files.end()}, format, tokenizer_);
  const bool one_class = !examples.labels().empty() && examples.labels().size() < 2;
  require_usage(!one_class, "{} has only the label \"{}\": there is nothing to tell apart",
                files[0], one_class ? examples.labels()[0] : "");
  return examples;
}

void FinetuneData::write_tokenizer(const std::filesystem::path& path) const {
  tokenizer_.save(path.string());
}

int64_t FinetuneData::length(int64_t positions) const {
  const int64_t longest = std::max(train_.longest(), held_out_ ? held_out_->longest() : 0);
  const int64_t wanted =
      spec_.finetune().length() ? spec_.finetune().length() : inputs(task_, longest);
  return std::min(positions, (wanted + granule - 1) / granule * granule);
}

void FinetuneData::shape(TrainConfig& config) const {
  config.length = length(config.model.sequence);
  const auto batch = static_cast<int64_t>(spec_.finetune().batch());
  config.batch_sequences = batch * each_;
  const int64_t share = (batch + config.mesh.dp - 1) / config.mesh.dp;
  config.micro_batch = spec_.data().micro_batch()
                           ? static_cast<int64_t>(spec_.data().micro_batch())
                           : each_ * std::clamp<int64_t>(4096 / (config.length * each_), 1, share);
  if (spec_.finetune().has_lora()) {
    const LoraSpec& lora = spec_.finetune().lora();
    config.lora = {lora.rank(), lora.alpha(), {lora.on().begin(), lora.on().end()}};
  }
  if (!has_head(task_)) return;
  config.task = TaskShape{.sequences = each_,
                          .classes = static_cast<int64_t>(train_.labels().size()),
                          .dropout = config.model.dropout};
  // The mean over the tokens of a mean example.
  config.language_weight = spec_.finetune().language_weight() * static_cast<float>(train_.size()) /
                           static_cast<float>(std::max<int64_t>(1, train_.counted()));
}

std::string FinetuneData::about() const {
  const int64_t shortened = train_.shortened() + (held_out_ ? held_out_->shortened() : 0);
  return fmt::format(
      "{} examples of {} to learn from, {} held out{}", train_.size(), name_of(task_), examined(),
      shortened
          ? fmt::format("; {} sequences were too long and lost what did not fit into {} tokens",
                        shortened, most_tokens_)
          : "");
}

void FinetuneData::fill(const Examples& from, int64_t example, int64_t sequence,
                        const Sequence& out) const {
  const auto tokens = from.tokens(example, sequence);
  lay_out(tokens, static_cast<int32_t>(tokenizer_.end_of_document()), out.ids, out.targets);
  if (out.extract.empty()) return;
  out.extract[0] = static_cast<int32_t>(tokens.size()) - 1;
  out.label[0] = from.label(example);
}

void FinetuneData::sample(uint64_t index, const Sequence& out) const {
  const auto each = static_cast<uint64_t>(each_), examples = static_cast<uint64_t>(train_.size());
  const uint64_t number = index / each, epoch = number / examples;
  const Key key = Key(spec_.seed()).at("examples").at(epoch);
  fill(train_, static_cast<int64_t>(permute(number % examples, examples, key)),
       static_cast<int64_t>(index % each), out);
}

int64_t FinetuneData::examined() const {
  if (!held_out_) return 0;
  const auto most = static_cast<int64_t>(spec_.validation().sequences());
  return most ? std::min(most, held_out_->size()) : held_out_->size();
}

int64_t FinetuneData::validation_sequences() const { return examined() * each_; }

Samples FinetuneData::validation() const {
  return [this](uint64_t index, const Sequence& out) {
    const auto number = static_cast<int64_t>(index);
    fill(*held_out_, number / each_, number % each_, out);
  };
}

}  // namespace katman
