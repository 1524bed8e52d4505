// Names of classes: blanks of all kinds, and names that differ only in case.
#include "data/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Names, BlanksAtBothEnds) {
  EXPECT_EQ(trimmed(" cat\t"), "cat");
  EXPECT_EQ(trimmed("big cat"), "big cat");
  EXPECT_EQ(trimmed("\u00a0 cat\u3000\u2009"), "cat");
  EXPECT_EQ(trimmed("\ufeffcat\u200b"), "cat");
  EXPECT_EQ(trimmed("\u00e0 cat \u00e0"), "\u00e0 cat \u00e0");  // ends in the byte 0xA0
  EXPECT_EQ(trimmed(" \u00a0\r\n"), "");
  EXPECT_EQ(trimmed(""), "");
  // Bytes that are no UTF-8 are no blanks.
  EXPECT_EQ(trimmed(" \xa0\xff "), "\xa0\xff");
  EXPECT_EQ(trimmed("\xc2"), "\xc2");
}

TEST(Names, LookalikesAreNamed) {
  EXPECT_EQ(lookalikes({"cat", "dog", "caf\u00e9", "cafe", "\x80", ""}), "");
  EXPECT_THAT(lookalikes({"Cat", "cat", "dog"}), HasSubstr("'Cat' and 'cat'"));
  // In any script.
  EXPECT_THAT(lookalikes({"\u00c9T\u00c9", "\u00e9t\u00e9"}), HasSubstr("'\u00c9T\u00c9' and"));
  EXPECT_THAT(lookalikes({"\u041a\u041e\u0422", "\u732b", "\u72ac", "\u043a\u043e\u0442"}),
              HasSubstr("'\u041a\u041e\u0422' and '\u043a\u043e\u0442'"));
  const std::string many = lookalikes({"a", "A", "b", "B", "c", "C", "d", "D", "e", "E"});
  EXPECT_THAT(many, HasSubstr("and 2 more"));
  EXPECT_THAT(many, Not(HasSubstr("'D'")));
}

}  // namespace
}  // namespace nestvit
