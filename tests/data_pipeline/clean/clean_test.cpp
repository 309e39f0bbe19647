#include "data_pipeline/clean/clean.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace katman {
namespace {

const std::string prose =
    "The archive keeps every page that was ever printed in this town, and anyone may read it. "
    "Two rooms are heated in winter; the third is for maps, which like the cold better than we do. "
    "Ask at the desk.";

Page html_page(std::string html, std::string charset = "") {
  return {"http://localhost/", std::move(html), PageKind::html, std::move(charset), 0};
}
Page text_page(std::string text) { return {"a.txt", std::move(text), PageKind::text, "", 0}; }

TEST(Cleaner, keeps_prose_and_drops_what_surrounds_it) {
  const Cleaned cleaned = Cleaner()(
      html_page("<html><head><title>T</title><script>var x = '<p>no</p>';</script></head><body>"
                "<nav><a href=/>Home</a></nav><h1>The archive</h1><p>" +
                prose + "</p></body></html>"));
  EXPECT_EQ(cleaned.dropped, nullptr);
  EXPECT_EQ(cleaned.text, "The archive\n\n" + prose);
}

TEST(Cleaner, names_the_rule_that_drops_a_page) {
  EXPECT_STREQ(Cleaner()(html_page("<p>Hello.</p>")).dropped, "too_short");
  EXPECT_STREQ(Cleaner()(html_page("<script>1</script>")).dropped, "no_text");
  EXPECT_STREQ(Cleaner()(text_page("")).dropped, "no_text");
}

TEST(Cleaner, refuses_unknown_rules) {
  EXPECT_THROW(Cleaner({{"no_such_rule"}, {}}), UsageError);
  EXPECT_THROW(Cleaner({{}, {"html_too_deep"}}), UsageError);
}

}  // namespace
}  // namespace katman
