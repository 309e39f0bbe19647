// From the bytes of a page to clean text, step by step: character sets, HTML, white space, rules.
#include <gtest/gtest.h>

#include <set>

#include "data_pipeline/clean/charset.h"
#include "data_pipeline/clean/clean.h"
#include "data_pipeline/clean/html_slim.h"
#include "data_pipeline/clean/html_text.h"
#include "data_pipeline/clean/measures.h"
#include "data_pipeline/clean/rules.h"
#include "data_pipeline/clean/tidy.h"
#include "data_pipeline/clean/utf8.h"
#include "tests/support/pages.h"

namespace katman::testing {
namespace {

TEST(Charset, labels_mean_what_browsers_take_them_for) {
  EXPECT_STREQ(iconv_name("latin1"), iconv_name("windows-1252"));
  EXPECT_STREQ(iconv_name(" UTF8 "), iconv_name("utf-8"));
  EXPECT_EQ(iconv_name("klingon"), nullptr);
}

TEST(Charset, what_html_declares_is_found) {
  EXPECT_EQ(declared_charset("<html><meta charset='iso-8859-9'>"), "iso-8859-9");
  EXPECT_EQ(
      declared_charset("<meta http-equiv=Content-Type content=\"text/html; charset=koi8-r\">"),
      "koi8-r");
  EXPECT_EQ(declared_charset("<p>charset=utf-8"), "");
}

TEST(Charset, text_is_decoded_by_what_is_certain_first) {
  EXPECT_EQ(decode("caf\xe9", "latin1", false), "café");
  EXPECT_EQ(decode("\xfe\xfar\xfdn", "iso-8859-9", false), "şúrın");
  EXPECT_EQ(decode("\xef\xbb\xbf"
                   "abc",
                   "latin1", false),
            "abc");
  EXPECT_EQ(decode("déjà vu, très étrange", "latin1", false), "déjà vu, très étrange")
      << "UTF-8 beyond doubt, whatever was declared";
  EXPECT_EQ(decode("<meta charset=koi8-r>\xd0\xd2", "", true), "<meta charset=koi8-r>пр");
}

TEST(Utf8, the_beginning_of_a_character_waits_for_its_rest) {
  const std::string text = "a\u00e9\u20ac\U0001f600";  // characters of one to four bytes
  const size_t waiting[] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0};
  for (size_t bytes = 0; bytes <= text.size(); ++bytes)
    EXPECT_EQ(incomplete_utf8_bytes(std::string_view(text).substr(0, bytes)), waiting[bytes])
        << bytes;
}

TEST(Utf8, each_ill_formed_part_becomes_one_replacement_character) {
  EXPECT_EQ(repair_utf8("a\xff"
                        "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(repair_utf8("\xe2\x82"), "\xef\xbf\xbd");
  EXPECT_EQ(repair_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") << "a surrogate";
  EXPECT_EQ(repair_utf8("çok 中文 😀"), "çok 中文 😀");
}

TEST(SlimHtml, what_is_never_looked_at_is_gone) {
  const std::string slim = slim_html(
      "<!-- c --><script>var a = '<p>';</script><style>p{}</style>"
      "<p class=x onclick='f()' data-y=1>2 < 3</p>");
  for (const char* gone : {"<!--", "script", "style", "onclick", "data-y"})
    EXPECT_EQ(slim.find(gone), std::string::npos) << gone << " in " << slim;
  EXPECT_NE(slim.find("class"), std::string::npos) << slim;
  EXPECT_NE(html_to_text(slim).text.find("2 < 3"), std::string::npos);
}

TEST(HtmlToText, content_stays_and_what_surrounds_it_goes) {
  const std::string text =
      html_to_text(
          "<body><header><nav><a href=/>Home</a><a "
          "href=/b>Other</a></nav></header><main><h1>Title</h1><p>" +
          prose(3) + "</p></main><aside>Ads</aside><footer><a href=/c>Imprint</a></footer></body>")
          .text;
  EXPECT_NE(text.find("Title"), std::string::npos);
  for (const char* gone : {"Home", "Other", "Ads", "Imprint"})
    EXPECT_EQ(text.find(gone), std::string::npos) << gone << " in " << text;
}

TEST(HtmlToText, lists_tables_and_preformatted_text_keep_their_shape) {
  const std::string text =
      tidy(html_to_text("<p>" + prose(1) +
                        "</p><ul><li>one<li>two</ul><ol><li>first</ol><table><tr><td>a<td>b</table>"
                        "<pre>  if x:\n    y</pre>")
               .text);
  for (const char* line : {"- one\n- two", "1. first", "a\tb", "  if x:\n    y"})
    EXPECT_NE(text.find(line), std::string::npos) << line << " in " << text;
}

TEST(HtmlToText, entities_and_non_latin_text_come_out_as_characters) {
  const std::string text =
      html_to_text("<p>Fish &amp; chips &mdash; &#x4e2d;文 &eacute;t&eacute;</p>").text;
  EXPECT_NE(text.find("Fish & chips — 中文 été"), std::string::npos) << text;
}

TEST(Tidy, white_space_is_one_kind_and_lines_end_clean) {
  EXPECT_EQ(tidy("  a  b \t\r\n\r\n\r\n\r\nc\x01\xc2\xa0"
                 "d\xe2\x80\xa8"
                 "e \n\n"),
            "  a  b\n\nc d\ne");
  EXPECT_EQ(tidy("so\xc2\xad"
                 "ft\xef\xbb\xbf"),
            "soft");
}

TEST(Rules, have_names_of_their_own_and_each_says_what_it_means) {
  std::set<std::string> names;
  for (const Rule& rule : rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_GT(std::string(rule.says).size(), 10u) << rule.name;
  }
  EXPECT_GT(names.size(), 5u);
}

TEST(Rules, drop_what_they_are_named_after_and_keep_prose) {
  const Cleaner cleaner;
  const auto dropped = [&](const std::string& text) {
    const char* why = cleaner({"a", text, PageKind::text, "utf-8", 0}).dropped;
    return std::string(why ? why : "kept");
  };
  EXPECT_EQ(dropped(prose(1)), "kept");
  EXPECT_EQ(dropped("Short."), "too_short");
  std::string same, bullets, hashes;
  for (int i = 0; i < 60; ++i) {
    same += "Buy now and save a lot of money today.\n";
    bullets += "- item number " + std::to_string(i * 7919) + " of the list of things\n";
    hashes += "###### ## # #### word" + std::to_string(i) + " ## ###\n";
  }
  EXPECT_NE(dropped(same), "kept");
  EXPECT_EQ(dropped(bullets), "bullet_lines");
  EXPECT_EQ(dropped(hashes), "few_letters");
}

TEST(Measures, count_words_lines_and_repetition) {
  const Measures m = measure("one two three.\n\none two three.\n- four\n");
  EXPECT_EQ(m.lines, 3u);
  EXPECT_EQ(m.words, 7);
  EXPECT_EQ(m.bullet_lines, 1u);
  EXPECT_EQ(m.repeated_lines, 1u);
  EXPECT_EQ(measure("中文字").words, 1.5) << "characters of scripts without spaces are half a word";
}

}  // namespace
}  // namespace katman::testing
