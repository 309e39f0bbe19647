#include "orchestrator/finetune/finetune_data.h"

#include <algorithm>

#include "core/log.h"
#include "data_pipeline/corpus/permute.h"
#include "data_pipeline/examples/packing.h"
#include "orchestrator/finetune/start.h"

namespace katman {
namespace {

constexpr int64_t granule = 16;         // tokens: lengths are rounded up to it
constexpr int64_t micro_tokens = 4096;  // of a forward pass, unless the run file says how many

// The last token of a text is only said, that of a task is what the head looks at.
int64_t inputs(FinetuneTask task, int64_t tokens) { return has_head(task) ? tokens : tokens - 1; }

int64_t positions_of(const RunSpec& spec) {
  const int64_t positions = starting_model(spec).sequence;
  const int64_t length = spec.finetune().length() ? spec.finetune().length() : positions;
  require_usage(length <= positions, "finetune.length is {}, but the model has {} positions",
                length, positions);
  return length;
}

// Of the sequences of `count` examples, what the model reads.
std::vector<int64_t> lengths_of(const Examples& examples, int64_t count, FinetuneTask task) {
  std::vector<int64_t> lengths;
  for (int64_t example = 0; example < count; ++example)
    lengths.push_back(inputs(task, std::ssize(examples.tokens(example, 0))));
  return lengths;
}

}  // namespace

FinetuneData::FinetuneData(const RunSpec& spec)
    : spec_(spec),
      task_(task_of(spec)),
      tokenizer_(starting_tokenizer(spec)),
      positions_(positions_of(spec)),
      train_(read(spec.finetune().train(),
                  {spec.finetune().labels().begin(), spec.finetune().labels().end()})),
      each_(train_.sequences()) {
  if (spec.finetune().held_out_size() > 0) {
    held_out_ = read(spec.finetune().held_out(), train_.labels());
    each_ = std::max(each_, held_out_->sequences());
  }
  if (!spec.finetune().pack()) return;
  packing_ = packed_batches();
  if (held_out_)
    packed_held_out_ = pack(lengths_of(*held_out_, examined(), task_), packing_->length());
}

Examples FinetuneData::read(const google::protobuf::RepeatedPtrField<std::string>& files,
                            const std::vector<std::string>& labels) const {
  const ExampleFormat format{.task = task_,
                             .most_tokens = has_head(task_) ? positions_ : positions_ + 1,
                             .labels = labels};
  Examples examples = Examples::read({files.begin(), files.end()}, format, tokenizer_);
  const bool one_class = !examples.labels().empty() && examples.labels().size() < 2;
  require_usage(!one_class, "{} has only the label \"{}\": there is nothing to tell apart",
                files[0], one_class ? examples.labels()[0] : "");
  return examples;
}

void FinetuneData::write_tokenizer(const std::filesystem::path& path) const {
  tokenizer_.save(path.string());
}

int64_t FinetuneData::longest() const {
  if (spec_.finetune().length()) return positions_;
  const int64_t tokens = std::max(train_.longest(), held_out_ ? held_out_->longest() : 0);
  return std::min(positions_, (inputs(task_, tokens) + granule - 1) / granule * granule);
}

BatchPacking FinetuneData::packed_batches() const {
  const bool fixed = spec_.finetune().length() > 0;
  return BatchPacking({.lengths = lengths_of(train_, train_.size(), task_),
                       .at = [this](int64_t place) { return example_at(place); },
                       .batch = spec_.finetune().batch(),
                       .steps = static_cast<int64_t>(spec_.steps()),
                       .least_length = longest(),
                       .most_length = fixed ? longest() : std::min(positions_, micro_tokens),
                       .shares = int64_t{spec_.mesh().dp()} * spec_.mesh().pp()});
}

void FinetuneData::shape(TrainConfig& config) const {
  config.length = packing_ ? packing_->length() : longest();
  config.documents = packing_.has_value();
  const auto batch = packing_ ? packing_->sequences() : int64_t{spec_.finetune().batch()};
  config.batch_sequences = batch * each_;
  const int64_t share = (batch + config.mesh.dp - 1) / config.mesh.dp;
  config.micro_batch =
      spec_.data().micro_batch()
          ? static_cast<int64_t>(spec_.data().micro_batch())
          : each_ * std::clamp<int64_t>(micro_tokens / (config.length * each_), 1, share);
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
  std::string text = fmt::format("{} examples of {} to learn from, {} held out", train_.size(),
                                 name_of(task_), examined());
  if (shortened)
    text += fmt::format("; {} sequences were too long and lost what did not fit into {} tokens",
                        shortened, positions_);
  const auto percent = [](double share) { return static_cast<int64_t>(100 * share + 0.5); };
  if (packing_)
    text += fmt::format(
        "; the {} of a step share {} sequences of {} tokens, {} % of them padding (each alone: {} "
        "%)",
        spec_.finetune().batch(), packing_->sequences(), packing_->length(),
        percent(packing_->padding()), percent(packing_->padding_alone()));
  return text;
}

void FinetuneData::fill(const Examples& from, int64_t example, int64_t sequence,
                        const Sequence& out) const {
  const auto tokens = from.tokens(example, sequence);
  lay_out(tokens, static_cast<int32_t>(tokenizer_.end_of_document()), out.ids, out.targets);
  if (out.extract.empty()) return;
  out.extract[0] = static_cast<int32_t>(tokens.size()) - 1;
  out.label[0] = from.label(example);
}

void FinetuneData::fill_packed(const Examples& from, std::span<const int64_t> examples,
                               const Sequence& out) const {
  const auto padding = static_cast<int32_t>(tokenizer_.end_of_document());
  size_t begin = 0;
  const auto lay = [&](std::span<const int32_t> tokens, size_t count) {
    lay_out(tokens, padding, out.ids.subspan(begin, count), out.targets.subspan(begin, count));
    std::ranges::fill(out.document_start.subspan(begin, count), static_cast<int32_t>(begin));
    begin += count;
  };
  for (const int64_t example : examples) {
    const auto tokens = from.tokens(example, 0);
    lay(tokens, static_cast<size_t>(inputs(task_, std::ssize(tokens))));
  }
  lay({}, out.ids.size() - begin);
}

int64_t FinetuneData::example_at(int64_t place) const {
  const auto number = static_cast<uint64_t>(place), examples = static_cast<uint64_t>(train_.size());
  const Key key = Key(spec_.seed()).at("examples").at(number / examples);
  return static_cast<int64_t>(permute(number % examples, examples, key));
}

void FinetuneData::sample(uint64_t index, const Sequence& out) const {
  const auto number = static_cast<int64_t>(index);
  if (packing_) return fill_packed(train_, packing_->examples(number), out);
  fill(train_, example_at(number / each_), number % each_, out);
}

int64_t FinetuneData::examined() const {
  if (!held_out_) return 0;
  const auto most = static_cast<int64_t>(spec_.validation().sequences());
  return most ? std::min(most, held_out_->size()) : held_out_->size();
}

int64_t FinetuneData::validation_sequences() const {
  return packing_ ? std::ssize(packed_held_out_) : examined() * each_;
}

Samples FinetuneData::validation() const {
  return [this](uint64_t index, const Sequence& out) {
    const auto number = static_cast<int64_t>(index);
    if (packing_) return fill_packed(*held_out_, packed_held_out_[static_cast<size_t>(index)], out);
    fill(*held_out_, number / each_, number % each_, out);
  };
}

}  // namespace katman
