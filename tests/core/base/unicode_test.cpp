// Forms of Unicode, and bytes that are no text.
#include "base/unicode.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(Unicode, FormsOfTheSameNameBecomeOne) {
  EXPECT_EQ(composed("cat"), "cat");
  EXPECT_EQ(composed("caf\u00e9"), "caf\u00e9");
  EXPECT_EQ(composed("cafe\u0301"), "caf\u00e9");
  // Vietnamese: two marks in either order; Korean; Japanese.
  EXPECT_EQ(composed("e\u0323\u0302"), "\u1ec7");
  EXPECT_EQ(composed("e\u0302\u0323"), "\u1ec7");
  EXPECT_EQ(composed("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(composed("\u304b\u3099"), "\u304c");
  // A ligature is another name than its letters.
  EXPECT_EQ(composed("\ufb01sh"), "\ufb01sh");
}

TEST(Unicode, WhatIsNoUtf8HasNoForm) {
  for (const char* bad : {"caf\xe9", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"})
    EXPECT_EQ(composed(bad), std::nullopt) << bad;
  EXPECT_EQ(composed(""), "");
}

TEST(Unicode, MessagesShowEveryByte) {
  EXPECT_EQ(printable("caf\u00e9"), "caf\u00e9");
  EXPECT_EQ(printable("caf\xe9!"), "caf\\xE9!");
  EXPECT_EQ(printable("a\x1b[2J\n"), "a\\x1B[2J\\x0A");
}

}  // namespace
}  // namespace nestvit
