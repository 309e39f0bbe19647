// What a task head's answers are worth.
#include <nlohmann/json.hpp>

#include "orchestrator/finetune/finetune_data.h"
#include "orchestrator/finetune/scores.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

int64_t likeliest(std::span<const float> logits) {
  return std::ranges::max_element(logits) - logits.begin();
}

}  // namespace

std::span<const float> FinetuneData::logits(const Trainer::Examination& found,
                                            int64_t example) const {
  const auto outputs = found.scores.size() / static_cast<size_t>(examined());
  return std::span(found.scores).subspan(outputs * static_cast<size_t>(example), outputs);
}

Scalars FinetuneData::judge(const Trainer::Examination& found) const {
  if (found.scores.empty()) return {};
  const auto classes = static_cast<int64_t>(logits(found, 0).size());
  Confusion confusion(classes);
  for (int64_t example = 0; example < examined(); ++example)
    confusion.add(held_out_->label(example), likeliest(logits(found, example)));
  Scalars scalars = {{"validation_loss", found.loss}, {"accuracy", confusion.accuracy()}};
  if (task_ == FinetuneTask::multiple_choice) return scalars;
  scalars.emplace_back("macro_f1", confusion.macro_f1());
  if (classes == 2) scalars.emplace_back("f1", confusion.f1(1));
  scalars.emplace_back("matthews", confusion.matthews());
  return scalars;
}

std::string FinetuneData::write_report(const Trainer::Examination& found,
                                       const std::filesystem::path& directory) const {
  if (found.scores.empty()) return {};
  const auto name = [&](int64_t index) {
    return train_.labels().empty() ? Json(index)
                                   : Json(train_.labels()[static_cast<size_t>(index)]);
  };
  std::string lines;
  for (int64_t example = 0; example < examined(); ++example) {
    const auto said = logits(found, example);
    lines += Json{{"example", example},
                  {"label", name(held_out_->label(example))},
                  {"prediction", name(likeliest(said))},
                  {"probabilities", probabilities(said)}}
                 .dump(-1, ' ', false, Json::error_handler_t::replace) +
             "\n";
  }
  Json summary = {{"task", name_of(task_)}, {"examples", examined()}};
  if (!train_.labels().empty()) summary["labels"] = train_.labels();
  std::string table = fmt::format("held out: {} examples of {}", examined(), name_of(task_));
  for (const auto& [metric, value] : judge(found)) {
    summary[metric] = value;
    table += fmt::format("\n  {:<16}{:8.4f}", metric, value);
  }
  const Files files;
  files.write(directory / "predictions.jsonl", lines);
  files.write(directory / "evaluation.json",
              summary.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  return table;
}

}  // namespace katman
