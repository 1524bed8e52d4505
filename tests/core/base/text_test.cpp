// Letter case and line breaks.
#include "base/text.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(Text, LowerCaseIsOfAsciiAlone) {
  EXPECT_EQ(ascii_lower("Photo_01.JPEG"), "photo_01.jpeg");
  EXPECT_EQ(ascii_lower("@[`{AZaz"), "@[`{azaz");
  EXPECT_EQ(ascii_lower("\xC3\x84"), "\xC3\x84");
  EXPECT_EQ(ascii_lower('Q'), 'q');
}

TEST(Text, WrapsAtSpaces) {
  EXPECT_EQ(wrapped("aa bb cc", 5, 0), "aa bb\ncc");
  EXPECT_EQ(wrapped("aa bb cc", 5, 2), "aa\n  bb\n  cc");
  EXPECT_EQ(wrapped("a longest b", 4, 0), "a\nlongest\nb");
  EXPECT_EQ(wrapped("a\nb c", 80, 2), "a\n  b c");
  EXPECT_EQ(wrapped("", 80, 2), "");
}

}  // namespace
}  // namespace nestvit
