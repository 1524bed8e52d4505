// Text in pictures: which font draws a character, and what is said of those that none has.
#include "report/canvas.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <string>
#include <vector>

#include "image/codecs/codec.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Colour kBlack{0, 0, 0}, kWhite{1, 1, 1};
// For private use, so that no font has it; and two of DejaVu Sans Mono that DejaVu Sans lacks.
const std::string kNobodyHas = "\U0010FFFD", kBeam = "\u2336", kSquish = "\u2337";

class CanvasText : public ::testing::Test {
 protected:
  // The pixels of the text; what was said while it was drawn is in `warning_`.
  std::vector<uint8_t> drawn(const std::string& text, double anchor = 0) {
    Canvas canvas(200, 40, "here");
    canvas.box(0, 0, 200, 40, kWhite);
    canvas.font(20);
    canvas.text(200 * anchor, 30, canvas.fitted(text, 200), kBlack, anchor);
    ::testing::internal::CaptureStderr();
    canvas.write(folder_ / "text.png");
    warning_ = ::testing::internal::GetCapturedStderr();
    return read_image(folder_ / "text.png", {}).pixels;
  }

  const testing::TempDir folder_;
  std::string warning_;
};

TEST_F(CanvasText, ComesFromAnyFontThatHasIt) {
  const std::vector<uint8_t> beam = drawn(kBeam);
  EXPECT_EQ(warning_, "");
  // The box for a missing character would be the same.
  EXPECT_NE(beam, drawn(kSquish));
  EXPECT_NE(beam, drawn(""));
}

TEST_F(CanvasText, FontsCanChangeWithinALine) {
  const std::vector<uint8_t> mixed = drawn("ab" + kBeam + "cd");
  EXPECT_EQ(warning_, "");
  EXPECT_NE(mixed, drawn("abcd"));
  // All pieces count for the width: nothing is left of a text that ends at the right edge.
  EXPECT_EQ(drawn("ab" + kBeam + "cd", 1).size(), mixed.size());
  Canvas canvas(10, 10, "here");
  canvas.font(20);
  EXPECT_NEAR(canvas.text_width("ab" + kBeam + "cd"),
              canvas.text_width("ab") + canvas.text_width(kBeam) + canvas.text_width("cd"), 1e-6);
}

TEST_F(CanvasText, MissingCharactersAreNamedOnce) {
  drawn("a" + kNobodyHas + kNobodyHas + "b");
  EXPECT_THAT(warning_, HasSubstr("text.png"));
  EXPECT_THAT(warning_, HasSubstr("no font on this machine has " + kNobodyHas + ","));
  EXPECT_THAT(warning_, HasSubstr("fonts-noto-cjk"));
  EXPECT_THAT(warning_, Not(HasSubstr("more characters")));
}

TEST_F(CanvasText, ManyMissingCharactersAreCounted) {
  std::string text;
  for (int i = 0; i < 14; ++i)  // U+10E080 and the next, in UTF-8
    text += {'\xF4', '\x8E', '\x82', static_cast<char>(0x80 + i)};
  drawn(text);
  EXPECT_THAT(warning_, HasSubstr("and 4 more characters"));
}

TEST_F(CanvasText, LongTextsAreCutBetweenCharacters) {
  Canvas canvas(10, 10, "here");
  canvas.font(12);
  const std::string text(200'000, 'x');
  const std::string cut = canvas.fitted(text, 100);
  EXPECT_THAT(cut, ::testing::MatchesRegex("x+…"));
  EXPECT_LE(canvas.text_width(cut), 100);
  EXPECT_GT(canvas.text_width("x" + cut), 100);
  EXPECT_EQ(canvas.fitted("ü", 100), "ü");
  EXPECT_EQ(canvas.fitted("üü", 1), "…");
  EXPECT_EQ(canvas.fitted("", 0), "");
}

}  // namespace
}  // namespace nestvit
