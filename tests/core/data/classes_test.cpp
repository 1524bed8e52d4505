// Natural order and class maps.
#include "data/classes.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

TEST(Classes, NaturalOrderIsTimms) {
  // As Python sorts by timm's natural_key (timm/data/readers).
  std::vector<std::string> names = {"b",
                                    "a10",
                                    "a2",
                                    "a",
                                    "A3",
                                    "a-1",
                                    "10",
                                    "9",
                                    "a2b",
                                    "a2b10",
                                    "a2b9",
                                    "a02c",
                                    "99999999999999999999999",
                                    "100000000000000000000000"};
  sort_classes(names, ClassOrder::kNatural);
  EXPECT_THAT(names,
              ElementsAre("9", "10", "99999999999999999999999", "100000000000000000000000", "a",
                          "a2", "a2b", "a2b9", "a2b10", "a02c", "A3", "a10", "a-1", "b"));
}

TEST(Classes, NaturalOrderIsAStrictWeakOrder) {
  const std::vector<std::string> names = {"",    "0",   "00",   "a",   "A", "a0",
                                          "a00", "A0b", "a00B", "a0b", "-", "a-"};
  for (const auto& a : names) {
    EXPECT_FALSE(natural_less(a, a));
    for (const auto& b : names) {
      EXPECT_EQ(a != b, natural_less(a, b) != natural_less(b, a)) << a << " " << b;
      for (const auto& c : names)
        EXPECT_TRUE(natural_less(a, c) || !natural_less(a, b) || !natural_less(b, c))
            << a << " " << b << " " << c;
    }
  }
}

TEST(Classes, MapIsOneNamePerLine) {
  EXPECT_THAT(parse_class_map("cat\n dog \r\nbig emu", "m").names,
              ElementsAre("cat", "dog", "big emu"));
  EXPECT_THAT(parse_class_map("\xEF\xBB\xBF"
                              "cat\ndog\n\n\n",
                              "m")
                  .keys,
              ElementsAre("cat", "dog"));
  EXPECT_THAT(parse_class_map("\u00a0cat\u00a0\ndog\u3000\n", "m").names,
              ElementsAre("cat", "dog"));
  expect_error([] { parse_class_map("cat\n\ndog\n", "m.txt"); }, {"m.txt", "line 2 is empty"});
  expect_error([] { parse_class_map("cat\ndog\ncat\n", "m.txt"); },
               {"'cat' is on line 1 and again on line 3"});
  expect_error([] { parse_class_map(" \n", "m.txt"); }, {"m.txt is empty"});
  expect_error([] { read_class_map("/nowhere/map.txt"); }, {"/nowhere/map.txt"});
}

TEST(Classes, MapIsUtf8InOneForm) {
  EXPECT_THAT(parse_class_map("cafe\u0301\ndog\n", "m").keys, ElementsAre("caf\u00e9", "dog"));
  expect_error([] { parse_class_map("dog\ncaf\xe9\n", "m.txt"); },
               {"m.txt", "line 2", "caf\\xE9", "UTF-8"});
  expect_error([] { parse_class_map("caf\u00e9\ncafe\u0301\n", "m.txt"); },
               {"on line 1 and again on line 2"});
}

TEST(Classes, MapOfSynsetsNamesFoldersAndClasses) {
  const auto map = parse_class_map(
      "n01440764 tench, Tinca tinca\nn02012849\tcrane\r\n n03126707  crane, derrick\n", "m");
  EXPECT_THAT(map.keys, ElementsAre("n01440764", "n02012849", "n03126707"));
  EXPECT_THAT(map.names, ElementsAre("tench", "crane (n02012849)", "crane (n03126707)"));
  expect_error([] { parse_class_map("n01440764 tench\nn01440764 fish\n", "m.txt"); },
               {"'n01440764' is on line 1 and again on line 2"});
  // Ids alone are names, and so is everything when one line has no id.
  EXPECT_THAT(parse_class_map("n01440764\nn02012849\n", "m").names,
              ElementsAre("n01440764", "n02012849"));
  const auto mixed = parse_class_map("n01440764 tench\nother fish\n", "m");
  EXPECT_THAT(mixed.names, ElementsAre("n01440764 tench", "other fish"));
  EXPECT_EQ(mixed.keys, mixed.names);
  for (const char* word : {"n0144076", "n014407640", "x01440764", "n0144076a", ""})
    EXPECT_FALSE(is_synset(word)) << word;
}

}  // namespace
}  // namespace nestvit
