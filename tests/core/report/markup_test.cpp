// Text and pictures inside pages: escaping, base64, and how far images shrink.
#include "report/markup.h"

#include <gtest/gtest.h>

#include <span>
#include <utility>
#include <vector>

#include "image/codecs/codec.h"
#include "support/random_image.h"

namespace nestvit {
namespace {

using testing::random_image;

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return {view.begin(), view.end()};
}

TEST(Markup, Base64OfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"},
                                                                    {"\xFB\xFF", "+/8="}};
  for (const auto& [plain, encoded] : vectors) EXPECT_EQ(base64(bytes_of(plain)), encoded);
}

TEST(Markup, EscapesWhatHtmlReadsAndReplacesWhatIsNoText) {
  EXPECT_EQ(escape_html("<a href=\"x\" b='y'>&amp;"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
  EXPECT_EQ(escape_html("a\xff\x01z"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  EXPECT_EQ(escape_html("Grüße 猫 🐈"), "Grüße 猫 🐈");
}

// The forms that RFC 3629 forbids, and what stays of the text around them.
TEST(Markup, BrokenUtf8IsReplacedByteByByte) {
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(clean_utf8("a\xC3"), "a" + replaced);                         // cut off
  EXPECT_EQ(clean_utf8("\xC0\xAF"), replaced + replaced);                 // overlong
  EXPECT_EQ(clean_utf8("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(clean_utf8("\xF4\x90\x80\x80z"), replaced + replaced + replaced + replaced + "z");
  EXPECT_EQ(clean_utf8("\xE7\x8C"
                       "x"),
            replaced + replaced + "x");
  EXPECT_EQ(clean_utf8("\x7F\t\n"), replaced + replaced + replaced);  // control characters
  EXPECT_EQ(clean_utf8("\xF0\x9F\x90\x88"), "\xF0\x9F\x90\x88");
}

TEST(Markup, SmallImagesKeepEveryPixelLargeOnesShrink) {
  const auto decode = [](const std::string& uri) {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    uint32_t bits = 0;
    int held = 0;
    for (const char c : uri.substr(uri.find(',') + 1)) {
      if (c == '=') break;
      bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
      if ((held += 6) >= 8) bytes += static_cast<char>(bits >> (held -= 8));
    }
    return decode_image(bytes_of(bytes), {}, "uri");
  };
  const Image small = random_image(32, 20);
  EXPECT_EQ(decode(image_uri(small, 160)), small);
  const Image large = decode(image_uri(random_image(300, 600), 160));
  EXPECT_EQ(large.width, 160);
  EXPECT_EQ(large.height, 80);
  EXPECT_EQ(decode(image_uri(random_image(1, 5000), 160)).height, 1);
  EXPECT_EQ(image_uri(Image{}, 160), "");
}

TEST(Markup, ShrunkKeepsTheAspect) {
  EXPECT_EQ(shrunk(random_image(30, 20), 30), random_image(30, 20));
  const Image small = shrunk(random_image(90, 45), 30);
  EXPECT_EQ(small.height, 30);
  EXPECT_EQ(small.width, 15);
}

}  // namespace
}  // namespace nestvit
