// What becomes of a run whose loss leaps or stops being a number, with real training.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data_pipeline/corpus/loader.h"
#include "parallel/checkpoint/commit_log.h"
#include "tests/data_pipeline/tokenize/small_tokenizer.h"
#include "tests/support/corpus.h"
#include "tests/support/service.h"

namespace katman::testing {
namespace {

constexpr uint32_t sequence = 32, batch = 4, steps = 110;
constexpr uint32_t tokens = sequence * batch * 120 + 1;  // an epoch is a little longer than a run
constexpr uint32_t document_tokens = 500;
constexpr uint32_t poisoned_steps[] = {60, 90};

// Tokens that a small model learns within a few steps; but one sample of step 60 and one of step 90
// hold tokens that occur nowhere else.
class PoisonedCorpus {
 public:
  PoisonedCorpus() {
    write([](uint32_t at) { return at % 16; });
    const Corpus clean = Corpus::open(directory());
    const Loader loader(clean, Split::train, sequence, 7);  // the seed of small_run()
    std::vector<uint64_t> first;                            // tokens of poisoned samples
    for (const uint32_t step : poisoned_steps) first.push_back(loader.first_token(step * batch));
    write([&](uint32_t at) {
      for (const uint64_t begin : first)
        if (at > begin && at < begin + sequence) return 16 + at * at % 47;
      return at % 16;
    });
    small_tokenizer(Pattern::gpt2, 280).save(dir_.file("tokenizer.json"));  // to show them
  }
  std::string directory() const { return dir_.path().string(); }

 private:
  void write(const std::function<uint32_t(uint32_t)>& id_at) {
    write_corpus(dir_, tokens, document_tokens, tokens, 64, id_at);
  }
  TempDir dir_;
};

std::vector<std::string> sets(const PoisonedCorpus& corpus, std::vector<std::string> more) {
  more.insert(more.end(), {"data.corpus=" + corpus.directory(), fmt::format("steps={}", steps),
                           fmt::format("data.batch_tokens={}", sequence * batch),
                           "checkpoint.every_steps=10", "learning_rate.kind=CONSTANT"});
  return more;
}

std::vector<std::string> rollbacks(const Service& service, const std::string& run) {
  std::vector<std::string> told;
  WatchRequest all;
  all.set_run(run);
  const uint64_t last = service.client().show(run).version();
  uint64_t states = 0;
  service.client().watch(all, [&](const Event& event) {
    if (event.kind() == "rollback") told.push_back(event.text());
    states += event.kind() == "state";
    return states < last;
  });
  return told;
}

// From the numbers that a rollback tells to the documents: what was left out is shown, and in its
// step the samples that came instead.
void expect_shown_documents(const std::string& run_directory, const PoisonedCorpus& poisoned) {
  const Corpus corpus = Corpus::open(poisoned.directory());
  const Loader loader(corpus, Split::train, sequence, 7);
  const auto shown = [&](const std::string& option, const std::string& which) {
    const Result result =
        run({katman(), "data", "show", "--run", run_directory, option, which, "--json"});
    EXPECT_EQ(result.status, 0) << result.output;
    std::istringstream lines(result.output);
    std::vector<uint64_t> samples;
    for (std::string line; std::getline(lines, line);) {
      const auto sample = nlohmann::json::parse(line);
      samples.push_back(sample.at("index"));
      const auto& piece = sample.at("documents").at(0);
      const uint64_t document = loader.first_token(samples.back()) / document_tokens;
      EXPECT_EQ(piece.at("number"), document);
      EXPECT_EQ(piece.at("source"), fmt::format("http://a.example/{}", document));
    }
    return samples;
  };
  EXPECT_EQ(shown("--samples", "240-243"), (std::vector<uint64_t>{240, 241, 242, 243}));
  EXPECT_EQ(shown("--step", "59"), (std::vector<uint64_t>{236, 237, 238, 239}));
  EXPECT_EQ(shown("--step", "60"), (std::vector<uint64_t>{244, 245, 246, 247}));
}

TEST(Recovery, a_loss_that_leaps_is_rolled_back_and_the_data_that_led_there_left_out) {
  const PoisonedCorpus corpus;
  Service service("leaps");
  service.submit("a", sets(corpus, {"recovery.on_bad_step=rollback", "recovery.spike_factor=3"}));
  const RunView done = service.wait_for("a", RunView::COMPLETED);
  EXPECT_EQ(done.restarts(), 0u) << "a rollback is no error";
  const auto told = rollbacks(service, "a");
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[0].starts_with("to step 60: after step 61, the loss was")) << told[0];
  EXPECT_NE(told[0].find("samples 240 to 243 are left out"), std::string::npos) << told[0];
  // Step 89 is the one that would have been step 90: a batch was left out.
  EXPECT_TRUE(told[1].starts_with("to step 80: after step 90, the loss was")) << told[1];
  EXPECT_NE(told[1].find("samples 360 to 363 are left out"), std::string::npos) << told[1];

  expect_shown_documents(small_run().path(service.directory("a")), corpus);

  expect_every_step_once(service, "a", steps);
  SeriesRequest request;
  request.set_run("a");
  request.set_name("loss");
  double worst = 0, leap = 0;
  const SeriesReply series = service.client().series(request);
  for (const SeriesPoint& point : series.points())
    if (point.step() > 50)
      (point.discarded() ? leap : worst) = std::max(point.discarded() ? leap : worst, point.high());
  EXPECT_GT(leap, 3 * worst) << "what counts is smooth, and the leap can still be seen";
}

TEST(Recovery, what_goes_on_leaping_ends_in_front_of_a_person_after_as_many_rollbacks_as_allowed) {
  const PoisonedCorpus corpus;
  Service service("bounded");
  service.submit("a", sets(corpus, {"recovery.on_bad_step=rollback", "recovery.spike_factor=3",
                                    "recovery.most_rollbacks=1"}));
  const RunView held = service.wait_for("a", RunView::ATTENTION);
  EXPECT_NE(held.why().find("rolled back 1 times already"), std::string::npos) << held.why();
  EXPECT_EQ(held.restarts(), 0u) << "it would leap again";
  EXPECT_EQ(held.committed(), 80u);
}

TEST(Recovery, what_is_no_number_goes_back_or_is_skipped_a_bounded_number_of_times) {
  const PoisonedCorpus corpus;
  Service service("no-number");
  const std::string far_too_fast = "learning_rate.peak=1e30";
  service.submit("back", sets(corpus, {far_too_fast, "recovery.on_bad_step=rollback",
                                       "recovery.most_rollbacks=2"}));
  service.submit("skip", sets(corpus, {far_too_fast}));
  const RunView back = service.wait_for("back", RunView::ATTENTION);
  EXPECT_NE(back.why().find("not a finite number, and the run was rolled back 2 times already"),
            std::string::npos)
      << back.why();
  EXPECT_EQ(rollbacks(service, "back").size(), 2u);
  const RunView skip = service.wait_for("skip", RunView::ATTENTION);
  EXPECT_NE(skip.why().find("not a finite number in 3 steps in a row"), std::string::npos)
      << skip.why();
}

}  // namespace
}  // namespace katman::testing
