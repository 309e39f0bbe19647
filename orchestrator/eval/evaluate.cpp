#include "orchestrator/eval/evaluate.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/error.h"
#include "core/model/generate.h"
#include "orchestrator/completion/text_stream.h"
#include "orchestrator/eval/metrics.h"
#include "orchestrator/eval/scorer.h"
#include "orchestrator/eval/text.h"
#include "parallel/checkpoint/gather.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;
using Progress = std::function<void(int64_t done, int64_t of)>;

// This replica's part of one task: what is asked about each of its examples, and the answers.
class Part {
 public:
  Part(const Task& task, const EvalOptions& options, const Asked& asked, const Progress& progress)
      : task_(task),
        options_(options),
        asked_(asked),
        progress_(progress),
        encoding_(asked.tokenizer) {
    const size_t all = task.examples.size();
    const size_t count =
        options.limit > 0 ? std::min(all, static_cast<size_t>(options.limit)) : all;
    for (auto i = static_cast<size_t>(asked.replicas.rank()); i < count;
         i += static_cast<size_t>(asked.replicas.size()))
      mine_.push_back(i);
  }

  // [example of mine]
  std::vector<Json> samples() {
    switch (task_.kind) {
      case Task::Kind::multiple_choice:
        return choices();
      case Task::Kind::last_word:
        return last_words();
      case Task::Kind::completion:
        return completions();
      case Task::Kind::perplexity:
        return perplexities();
    }
    return {};
  }
  int64_t truncated() const { return truncated_; }

 private:
  const Example& example(size_t i) const { return task_.examples[i]; }
  std::string context(size_t i) const {
    return context_of(task_, i, options_.shots, options_.seed);
  }

  std::vector<Likelihood> ask(const std::vector<Pair>& pairs) {
    Scorer scorer(asked_.reader);
    auto results =
        scorer.likelihoods(pairs, [&](int64_t done) { progress_(done, std::ssize(pairs)); });
    truncated_ += scorer.truncated();
    return results;
  }

  std::vector<Json> choices() {
    std::vector<Pair> pairs;
    std::vector<Json> samples;
    for (const size_t i : mine_) {
      const std::string before = context(i);
      for (const std::string& choice : example(i).choices)
        pairs.push_back(encoding_.pair(before, task_.target_delimiter + choice));
      samples.push_back({{"index", i}, {"context", before}});
    }
    // Behind all others: they have no beginning worth sharing.
    for (const size_t i : mine_)
      for (const std::string& choice : example(i).choices)
        if (task_.mutual_information)
          pairs.push_back(encoding_.pair("", task_.target_delimiter + choice));
    const auto results = ask(pairs);
    auto next = results.begin();
    const auto take = [&](Json& sample, size_t count, const char* name) {
      for (size_t c = 0; c < count; ++c) sample[name].push_back((next++)->sum);
    };
    for (size_t s = 0; s < mine_.size(); ++s)
      take(samples[s], example(mine_[s]).choices.size(), "log_likelihoods");
    for (size_t s = 0; s < mine_.size() && task_.mutual_information; ++s)
      take(samples[s], example(mine_[s]).choices.size(), "unconditional");
    return samples;
  }

  std::vector<Json> last_words() {
    std::vector<Pair> pairs;
    std::vector<Json> samples;
    for (const size_t i : mine_) {
      const std::string before = context(i);
      pairs.push_back(encoding_.pair(before, split_last_word(example(i).question).second));
      samples.push_back({{"index", i}, {"context", before}});
    }
    const auto results = ask(pairs);
    for (size_t s = 0; s < samples.size(); ++s) {
      samples[s]["log_likelihood"] = results[s].sum;
      samples[s]["greedy"] = results[s].greedy;
    }
    return samples;
  }

  std::vector<Json> perplexities() {
    std::vector<Pair> pairs;
    std::vector<size_t> counts;  // [example of mine]
    for (const size_t i : mine_) {
      const auto windows = encoding_.windows(example(i).question, asked_.reader.config().sequence);
      pairs.insert(pairs.end(), windows.begin(), windows.end());
      counts.push_back(windows.size());
    }
    const auto results = ask(pairs);
    std::vector<Json> samples;
    auto next = results.begin();
    for (size_t s = 0; s < mine_.size(); ++s) {
      double sum = 0;
      for (size_t window = 0; window < counts[s]; ++window) sum += (next++)->sum;
      samples.push_back({{"index", mine_[s]},
                         {"log_likelihood", sum},
                         {"words", count_words(example(mine_[s]).question)},
                         {"bytes", example(mine_[s]).question.size()}});
    }
    return samples;
  }

  std::vector<Json> completions() {
    const int64_t room = asked_.reader.config().sequence - task_.tokens;
    std::vector<Prompt> prompts;
    std::vector<TextStream> streams;
    std::vector<Json> samples;
    for (const size_t i : mine_) {
      const std::string before = context(i);
      Prompt prompt{
          .ids = encoding_.ids(before), .sampling = {.temperature = 0}, .most = task_.tokens};
      if (prompt.ids.empty()) prompt.ids.push_back(end());
      const int64_t over = std::max<int64_t>(0, std::ssize(prompt.ids) - room);
      truncated_ += over > 0;
      prompt.ids.erase(prompt.ids.begin(), prompt.ids.begin() + over);
      prompts.push_back(std::move(prompt));
      streams.emplace_back(task_.stops);
      samples.push_back({{"index", i}, {"context", before}});
    }
    int64_t done = 0;
    generate(asked_.reader, prompts, end(), options_.together,
             {[&](size_t s, const Drawn& drawn) {
                streams[s].add(asked_.tokenizer.bytes(static_cast<uint32_t>(drawn.id)));
                return !streams[s].stopped();
              },
              [&](size_t, Ending) { progress_(++done, std::ssize(prompts)); }});
    for (size_t s = 0; s < samples.size(); ++s) {
      streams[s].finish();
      samples[s]["completion"] = streams[s].text();
    }
    return samples;
  }

  int32_t end() const { return static_cast<int32_t>(asked_.tokenizer.end_of_document()); }

  const Task& task_;
  const EvalOptions& options_;
  const Asked& asked_;
  const Progress& progress_;
  Encoding encoding_;
  std::vector<size_t> mine_;  // indices of examples
  int64_t truncated_ = 0;
};

// Everybody's samples, in the order of the examples.
std::vector<Json> gather_samples(const Asked& asked, const std::vector<Json>& mine) {
  const std::string text = Json(mine).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::vector<Json> all;
  for (const std::string& part : gather(asked.replicas, asked.backend, text))
    for (Json& sample : Json::parse(part)) all.push_back(std::move(sample));
  std::ranges::sort(all, {}, [](const Json& sample) { return sample["index"].get<size_t>(); });
  return all;
}

int64_t best(const std::vector<double>& values) {
  return std::ranges::max_element(values) - values.begin();
}

// Adds "right under each reading" to the samples, and their means.
std::vector<Metric> choice_metrics(const Task& task, std::vector<Json>& samples) {
  std::vector<std::pair<const char*, std::vector<double>>> readings = {
      {"acc", {}}, {"acc_norm", {}}, {"acc_bytes", {}}};
  if (task.mutual_information) readings.push_back({"acc_mutual_info", {}});
  for (Json& sample : samples) {
    const Example& example = task.examples[sample["index"].get<size_t>()];
    const auto raw = sample["log_likelihoods"].get<std::vector<double>>();
    std::vector<std::vector<double>> scores(readings.size(), raw);
    for (size_t c = 0; c < raw.size(); ++c) {
      scores[1][c] /= static_cast<double>(count_characters(example.choices[c]));
      scores[2][c] /= static_cast<double>(example.choices[c].size());
      if (task.mutual_information) scores[3][c] -= sample["unconditional"][c].get<double>();
    }
    for (size_t r = 0; r < readings.size(); ++r) {
      const bool right = best(scores[r]) == example.gold;
      sample[readings[r].first] = right;
      readings[r].second.push_back(right);
    }
  }
  std::vector<Metric> metrics;
  for (const auto& [name, right] : readings) metrics.push_back(mean_metric(name, right));
  return metrics;
}

std::vector<double> column(const std::vector<Json>& samples, const char* name) {
  std::vector<double> values;
  for (const Json& sample : samples)
    values.push_back(sample[name].is_boolean() ? sample[name].get<bool>()
                                               : sample[name].get<double>());
  return values;
}

std::vector<Metric> completion_metrics(const Task& task, std::vector<Json>& samples) {
  for (Json& sample : samples) {
    const auto completion = sample["completion"].get<std::string>();
    double match = 0, overlap = 0;
    for (const std::string& answer : task.examples[sample["index"].get<size_t>()].answers) {
      match = std::max(match, exact_match(completion, answer));
      overlap = std::max(overlap, f1(completion, answer));
    }
    sample["exact_match"] = match;
    sample["f1"] = overlap;
  }
  return {mean_metric("exact_match", column(samples, "exact_match")),
          mean_metric("f1", column(samples, "f1"))};
}

std::vector<Metric> metrics_of(const Task& task, std::vector<Json>& samples) {
  switch (task.kind) {
    case Task::Kind::multiple_choice:
      return choice_metrics(task, samples);
    case Task::Kind::completion:
      return completion_metrics(task, samples);
    case Task::Kind::last_word:
      return {mean_metric("acc", column(samples, "greedy")),
              perplexity_metric("perplexity", column(samples, "log_likelihood"))};
    case Task::Kind::perplexity: {
      const auto sums = column(samples, "log_likelihood");
      const auto words = column(samples, "words"), bytes = column(samples, "bytes");
      return {weighted_perplexity_metric("word_perplexity", sums, words, false),
              weighted_perplexity_metric("byte_perplexity", sums, bytes, false),
              weighted_perplexity_metric("bits_per_byte", sums, bytes, true)};
    }
  }
  return {};
}

}  // namespace

void check_askable(const Task& task, const EvalOptions& options, int64_t positions) {
  require_usage(options.shots >= 0, "{} shots are wanted: use 0 or more", options.shots);
  require_usage(options.shots == 0 || task.kind != Task::Kind::perplexity,
                "{} measures a perplexity, which knows no shots: ask it without", task.name);
  require_usage(task.kind != Task::Kind::completion || task.tokens < positions,
                "{} writes up to {} tokens, and the model has {} positions for all", task.name,
                task.tokens, positions);
  context_of(task, 0, options.shots, options.seed);
}

TaskResult evaluate(const Task& task, const EvalOptions& options, const Asked& asked,
                    const Progress& progress) {
  check_askable(task, options, asked.reader.config().sequence);
  TaskResult result{.task = task.name, .kind = name_of(task.kind), .shots = options.shots};
  const auto begin = std::chrono::steady_clock::now();
  Part part(task, options, asked, progress);
  result.samples = gather_samples(asked, part.samples());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.examples = std::ssize(result.samples);
  for (const int64_t truncated : gather(asked.replicas, asked.backend, part.truncated()))
    result.truncated += truncated;
  result.metrics = metrics_of(task, result.samples);
  return result;
}

}  // namespace katman
