// What becomes of a run whose loss leaps with real training.
#include <gtest/gtest.h>

#include "data_pipeline/corpus/loader.h"
#include "tests/support/corpus.h"
#include "tests/support/service.h"

namespace katman::testing {
namespace {

constexpr uint32_t sequence = 32, batch = 4, steps = 110;
constexpr uint32_t tokens = sequence * batch * 120 + 1;  // an epoch is a little longer than a run
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
  }
  std::string directory() const { return dir_.path().string(); }

 private:
  void write(const std::function<uint32_t(uint32_t)>& id_at) {
    write_corpus(dir_, tokens, 500, tokens, 64, id_at);
  }
  TempDir dir_;
};

std::vector<std::string> sets(const PoisonedCorpus& corpus, std::vector<std::string> more) {
  more.insert(more.end(), {"data.corpus=" + corpus.directory(), "steps=" + std::to_string(steps),
                           "data.batch_tokens=" + std::to_string(sequence * batch),
                           "checkpoint.every_steps=10", "learning_rate.kind=CONSTANT"});
  return more;
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

}  // namespace
}  // namespace katman::testing
