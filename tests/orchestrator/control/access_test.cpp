// Tokens, roles, and how often somebody may ask.
#include "orchestrator/control/access.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/error.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

using std::chrono::milliseconds;

std::string token_file(const TempDir& dir, const std::string& text, mode_t mode = 0600) {
  dir.write("tokens", text);
  chmod(dir.file("tokens").c_str(), mode);
  return dir.file("tokens");
}

TEST(Access, a_token_says_who_somebody_is_and_what_he_may_do) {
  const TempDir dir;
  const Access access(token_file(dir,
                                 "# people\n"
                                 "viewer ada 0123456789abcdef0123  # looks\n\n"
                                 "operator grace fedcba98765432100123\n"
                                 "worker runs aaaaaaaaaaaaaaaaaaaa\n"));
  EXPECT_FALSE(access.open());
  const auto ada = access.bearer("Bearer 0123456789abcdef0123");
  ASSERT_TRUE(ada);
  EXPECT_EQ(ada->name, "ada");
  EXPECT_TRUE(ada->may_see() && !ada->may_command() && !ada->may_report());
  const auto grace = access.holder("fedcba98765432100123");
  EXPECT_TRUE(grace && grace->may_see() && grace->may_command() && grace->may_report());
  const auto runs = access.holder("aaaaaaaaaaaaaaaaaaaa");
  EXPECT_TRUE(runs && !runs->may_see() && !runs->may_command() && runs->may_report());
}

TEST(Access, what_is_nobodys_token_opens_nothing) {
  const TempDir dir;
  const Access access(token_file(dir, "viewer ada 0123456789abcdef0123\n"));
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer 0123456789abcdef012", "Bearer 0123456789abcdef01234",
        "Bearer 0123456789abcdef0124", "bearer 0123456789abcdef0123", "0123456789abcdef0123"})
    EXPECT_FALSE(access.bearer(wrong)) << wrong;
}

TEST(Access, a_file_of_tokens_that_is_wrong_is_refused_with_its_line) {
  const TempDir dir;
  const auto refused = [&](const std::string& text, const std::string& words, mode_t mode = 0600) {
    const std::string file = token_file(dir, text, mode);
    EXPECT_TRUE(fails_with(words, [&] { Access access(file); })) << text;
  };
  const std::string good = "viewer ada 0123456789abcdef0123\n";
  refused(good, "chmod 600", 0640);
  refused("", "holds no token");
  refused(good + "admin ada 0123456789abcdef0124\n", "line 2: write a role");
  refused("viewer ada\n", "line 1: write a role");
  refused("viewer ada short\n", "has 5 characters");
  refused(good + "operator eve 0123456789abcdef0123\n", "line 2: the token of eve is somebody");
  EXPECT_TRUE(fails_with("does it exist", [] { Access access("/nowhere/tokens"); }));
}

TEST(RateLimit, lets_a_burst_through_and_then_so_many_a_second) {
  RateLimit limit(10, 5);
  const auto start = RateLimit::Clock::now();
  int allowed = 0;
  for (int i = 0; i < 100; ++i) allowed += limit.allows("a", start);
  EXPECT_EQ(allowed, 5);
  EXPECT_TRUE(limit.allows("b", start)) << "others do not suffer";
  for (int i = 1; i <= 2000; ++i) allowed += limit.allows("a", start + milliseconds(i));
  EXPECT_NEAR(allowed, 5 + 20, 1);
}

TEST(RateLimit, forgets_callers_that_are_quiet) {
  RateLimit limit(1000, 1);
  const auto start = RateLimit::Clock::now();
  for (int i = 0; i < 100'000; ++i)
    EXPECT_TRUE(limit.allows(std::to_string(i), start + milliseconds(i)));
}

}  // namespace
}  // namespace katman::testing
