// JSON from anywhere: values as they stand there, and errors for the rest.
#include "base/json.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using testing::expect_error;

TEST(ParseJson, Values) {
  const auto value = parse_json(R"( {"a": [1, -2.5, true, null], "b": "é"} )");
  EXPECT_EQ(value["a"][0], 1);
  EXPECT_EQ(value["a"][1], -2.5);
  EXPECT_TRUE(value["a"][3].is_null());
  EXPECT_EQ(value["b"], "é");
}

TEST(ParseJson, ErrorsNameTheByte) {
  expect_error([] { parse_json("[1, 2"); }, {"byte 6"});
  expect_error([] { parse_json("{\"a\": nan}"); }, {"byte 8"});
  for (const char* text : {"", " ", "{", "[1,]", "{a: 1}", "'a'", "1 2", "\"\xff\"", "[1] x"})
    EXPECT_THROW(parse_json(text), Error) << text;
}

TEST(ParseJson, NumbersThatNoDoubleHolds) {
  expect_error([] { parse_json("[1e400]"); }, {"range of a double"});
  EXPECT_EQ(parse_json("1e300"), 1e300);
}

TEST(ParseJson, DepthIsBounded) {
  const auto nested = [](size_t levels) {
    return std::string(levels, '[') + "1" + std::string(levels, ']');
  };
  EXPECT_NO_THROW(parse_json(nested(32)));
  expect_error([&] { parse_json(nested(33)); }, {"deeper than 32"});
  EXPECT_THROW(parse_json(std::string(10'000'000, '[')), Error);
}

}  // namespace
}  // namespace nestvit
