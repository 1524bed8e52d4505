// Fields: YAML in and out, types, and errors that name the nearest key.
#include "base/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;

enum class Colour { kRed, kGreen };

struct Inner {
  int depth = 1;
  std::vector<int> list = {1, 2};
};

struct Settings {
  bool flag = false;
  int count = 1;
  int64_t large = 2;
  double rate = 0.5;
  std::string name = "x";
  std::optional<int> maybe;
  std::vector<std::string> words = {"a"};
  Colour colour = Colour::kRed;
  Inner inner;
};

Fields fields(Settings& s) {
  Fields inner;
  inner.add("depth", &s.inner.depth, "").add("list", &s.inner.list, "");
  Fields f;
  f.add("flag", &s.flag, "")
      .add("count", &s.count, "")
      .add("large", &s.large, "")
      .add("rate", &s.rate, "");
  f.add("name", &s.name, "").add("maybe", &s.maybe, "").add("words", &s.words, "");
  f.choice("colour", &s.colour, {{Colour::kRed, "red"}, {Colour::kGreen, "green"}}, "");
  f.add("inner", inner);
  return f;
}

std::string error_of(const std::string& key, const std::string& text) {
  Settings s;
  return testing::error_of<UsageError>([&] { fields(s).set(key, text); });
}

TEST(FieldsTest, YamlRoundTrip) {
  Settings s;
  fields(s).load_yaml_text(
      "flag: true\ncount: 7\nlarge: 9000000000\nrate: 2.5e-4\nname: \"true\"\nmaybe: 3\nwords: [b, "
      "'c d', 'e, [f]']\n"
      "colour: green\ninner: {depth: 4, list: []}\n",
      "test");
  EXPECT_TRUE(s.flag);
  EXPECT_EQ(s.large, 9000000000);
  EXPECT_EQ(s.rate, 2.5e-4);
  EXPECT_EQ(s.maybe, 3);
  EXPECT_EQ(s.words, (std::vector<std::string>{"b", "c d", "e, [f]"}));
  EXPECT_EQ(s.colour, Colour::kGreen);
  EXPECT_EQ(s.inner.depth, 4);
  Settings copy;
  fields(copy).load_yaml_text(fields(s).to_yaml(), "copy");
  EXPECT_EQ(fields(copy).to_yaml(), fields(s).to_yaml());
  EXPECT_EQ(copy.name, "true");
  EXPECT_EQ(copy.words, s.words);
  EXPECT_TRUE(copy.inner.list.empty());
}

TEST(FieldsTest, SetByDottedKey) {
  Settings s;
  Fields f = fields(s);
  f.set("inner.list", "[4, 5, 6]");
  f.set("maybe", "null");
  f.set("rate", "3");
  f.set("count", "1e3");
  EXPECT_EQ(s.inner.list, (std::vector<int>{4, 5, 6}));
  EXPECT_FALSE(s.maybe);
  EXPECT_EQ(s.rate, 3);
  EXPECT_EQ(s.count, 1000);
}

TEST(FieldsTest, ErrorsNameWhatWasExpected) {
  EXPECT_THAT(error_of("cuont", "1"), HasSubstr("did you mean \"count\""));
  EXPECT_THAT(error_of("dept", "1"), HasSubstr("did you mean \"inner.depth\""));
  EXPECT_THAT(error_of("count", "1.5"), HasSubstr("a whole number"));
  EXPECT_THAT(error_of("count", "99999999999"), HasSubstr("a whole number"));
  EXPECT_THAT(error_of("rate", "fast"), HasSubstr("a number"));
  EXPECT_THAT(error_of("rate", ".nan"), HasSubstr("a number"));
  EXPECT_THAT(error_of("flag", "maybe"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("words", "x"), HasSubstr("a list"));
  EXPECT_THAT(error_of("colour", "blue"), HasSubstr("one of red, green"));
  EXPECT_THAT(error_of("rate", ".inf"), HasSubstr("a number"));
  EXPECT_THAT(error_of("inner.list", "[1, x]"), HasSubstr("a whole number"));
  EXPECT_THAT(error_of("name", "[unclosed"), HasSubstr("not valid YAML"));
}

TEST(FieldsTest, UnknownYamlKeyIsAnError) {
  Settings s;
  EXPECT_THROW(fields(s).load_yaml_text("epchs: 3", "file.yaml"), UsageError);
  EXPECT_THROW(fields(s).load_yaml_text("- a\n- b\n", "file.yaml"), UsageError);
  EXPECT_NO_THROW(fields(s).load_yaml_text("", "empty.yaml"));
  EXPECT_THROW(fields(s).load_yaml_text("inner: &x {inner: *x, list: *x}", "cycle.yaml"),
               UsageError);
}

TEST(FieldsTest, NearestRefusesFarWords) {
  EXPECT_EQ(nearest("epohcs", {"epochs", "seed"}), "epochs");
  EXPECT_EQ(nearest("zzzzzz", {"epochs", "seed"}), "");
  // Most of a short word is no typing error of another.
  EXPECT_EQ(nearest("c", {"a", "b"}), "");
  EXPECT_EQ(nearest("fox", {"dog", "cat"}), "");
  EXPECT_EQ(nearest("cow", {"cat", "emu"}), "");
  EXPECT_EQ(nearest("bird", {"dog", "beer"}), "");
  EXPECT_EQ(nearest("", {"a", "ab"}), "");
  EXPECT_EQ(nearest("127", {"12", "126"}), "");
  EXPECT_EQ(nearest("7", {"0", "1"}), "");
  EXPECT_EQ(nearest("x", {"inner.a"}), "");
}

TEST(FieldsTest, NearestFindsTypingErrors) {
  EXPECT_EQ(nearest("dgo", {"cat", "dog"}), "dog");
  EXPECT_EQ(nearest("ct", {"cat", "dog"}), "cat");
  EXPECT_EQ(nearest("DOG", {"cat", "dog"}), "dog");
  EXPECT_EQ(nearest("emmu", {"cat", "emu"}), "emu");
  EXPECT_EQ(nearest("golden_retreiver", {"golden_eagle", "golden_retriever"}), "golden_retriever");
  EXPECT_EQ(nearest("deph", {"width", "inner.depth"}), "inner.depth");
  // Of two as near, the first.
  EXPECT_EQ(nearest("cat", {"bat", "rat"}), "bat");
}

TEST(FieldsTest, NearestCountsLettersNotBytes) {
  // One letter of three, and one of one.
  EXPECT_EQ(nearest("\u043a\u0438\u0442", {"\u043a\u043e\u0442"}), "\u043a\u043e\u0442");
  EXPECT_EQ(nearest("\u732b", {"\u72ac"}), "");
  EXPECT_EQ(nearest(std::string(1 << 20, 'a'), {std::string(1 << 20, 'b')}), "");
}

}  // namespace
}  // namespace nestvit
