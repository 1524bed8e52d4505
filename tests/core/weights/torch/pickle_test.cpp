// The pickle machine: every opcode that it knows, everything that it must refuse, and programs made
// to hurt.
#include "weights/torch/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "support/pickle_builder.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using testing::little;
using namespace testing::pickle;

std::string_view known(std::string_view module, std::string_view name) {
  return module == "collections" && name == "OrderedDict" ? "OrderedDict" : "";
}

// The programs' bytes must outlive the values, whose texts lie in them.
struct Parsed {
  std::string bytes;
  Pickle pickle;
  explicit Parsed(const std::string& body)
      : bytes(program(body)),
        pickle(read_pickle(std::as_bytes(std::span(bytes)), known, "test.pkl")) {}
  const PickleValue& root() const { return pickle.root(); }
  const PickleValue& item(size_t i) const { return pickle.at(root().items.at(i)); }
};

std::string message(const std::string& body) {
  try {
    Parsed parsed(body);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Pickle, ReadsNumbers) {
  const std::vector<std::pair<std::string, int64_t>> numbers = {
      {"K\xff", 255},
      {"M\xff\xff", 65535},
      {"J\xff\xff\xff\xff", -1},
      {std::string("\x8a\0", 2), 0},
      {"\x8a\x01\xff", -1},
      {std::string("\x8a\x02\xff\0", 4), 255},
      {integer(INT64_MIN), INT64_MIN},
      {integer(INT64_MAX), INT64_MAX},
      {std::string("\x8b\2\0\0\0", 5) + std::string("\0\1", 2), 256},
  };
  for (const auto& [code, value] : numbers) {
    const Parsed parsed(code);
    EXPECT_EQ(parsed.root().kind, PickleKind::kInt);
    EXPECT_EQ(parsed.root().integer, value);
  }
  EXPECT_EQ(Parsed("\x8a\x09"
                   "123456789")
                .root()
                .kind,
            PickleKind::kBigInt);
  const Parsed real(std::string("G\x3f\xf8\0\0\0\0\0\0", 9));
  EXPECT_EQ(real.root().kind, PickleKind::kFloat);
  EXPECT_EQ(real.root().real, 1.5);
  EXPECT_EQ(Parsed("\x88").root().integer, 1);
  EXPECT_EQ(Parsed("\x89").root().kind, PickleKind::kBool);
  EXPECT_EQ(Parsed("N").root().kind, PickleKind::kNone);
}

TEST(Pickle, ReadsTextsAndBytes) {
  for (const std::string& code : {"X" + little(3, 4), "\x8c" + little(3, 1), "\x8d" + little(3, 8),
                                  "T" + little(3, 4), "U" + little(3, 1)}) {
    const Parsed parsed(code + "abc");
    EXPECT_EQ(parsed.root().kind, PickleKind::kText);
    EXPECT_EQ(parsed.root().text, "abc");
  }
  for (const std::string& code :
       {"C" + little(3, 1), "B" + little(3, 4), "\x8e" + little(3, 8), "\x96" + little(3, 8)}) {
    const Parsed parsed(code + "abc");
    EXPECT_EQ(parsed.root().kind, PickleKind::kBytes);
    EXPECT_EQ(parsed.root().text, "abc");
  }
}

TEST(Pickle, ReadsContainers) {
  const std::vector<std::tuple<std::string, PickleKind, size_t>> containers = {
      {")", PickleKind::kTuple, 0},
      {"K\1\x85", PickleKind::kTuple, 1},
      {"K\1K\2\x86", PickleKind::kTuple, 2},
      {"K\1K\2K\3\x87", PickleKind::kTuple, 3},
      {"(K\1K\2t", PickleKind::kTuple, 2},
      {"]", PickleKind::kList, 0},
      {"]K\1a", PickleKind::kList, 1},
      {"](K\1K\2e", PickleKind::kList, 2},
      {"\x8f(K\1K\2\x90", PickleKind::kSet, 2},
      {"(K\1K\2\x91", PickleKind::kSet, 2},
      {"}", PickleKind::kDict, 0},
      {"}K\1K\2s", PickleKind::kDict, 2},
      {"}(K\1K\2K\3K\4u", PickleKind::kDict, 4},
  };
  for (const auto& [code, kind, size] : containers) {
    const Parsed parsed(code);
    EXPECT_EQ(parsed.root().kind, kind);
    ASSERT_EQ(parsed.root().items.size(), size);
    for (size_t i = 0; i < size; ++i)
      EXPECT_EQ(parsed.item(i).integer, static_cast<int64_t>(i) + 1);
  }
}

TEST(Pickle, RecordsCallsWithoutCalling) {
  for (const std::string& callee :
       {global("collections", "OrderedDict"), text("collections") + text("OrderedDict") + "\x93"})
    for (const std::string call : {")R", ")\x81"}) {
      const Parsed parsed(callee + call + "}K\7K\7sb" + "(" + text("key") + "K\1u");
      EXPECT_EQ(parsed.root().kind, PickleKind::kObject);
      EXPECT_EQ(parsed.root().text, "OrderedDict");
      EXPECT_EQ(parsed.item(0).text, "key");
      EXPECT_EQ(parsed.item(1).integer, 1);
      EXPECT_EQ(parsed.pickle.at(parsed.root().state).kind, PickleKind::kDict);
      EXPECT_TRUE(parsed.pickle.at(parsed.root().args).items.empty());
    }
  const Parsed outside(text("somewhere") + "Q");
  EXPECT_EQ(outside.root().kind, PickleKind::kPersistent);
  EXPECT_EQ(outside.item(0).text, "somewhere");
}

TEST(Pickle, StackAndMemo) {
  EXPECT_EQ(Parsed("K\1K\2"
                   "0")
                .root()
                .integer,
            1);                                  // POP
  EXPECT_EQ(Parsed("K\1(0").root().integer, 1);  // POP of a mark
  EXPECT_EQ(Parsed("K\1(K\2K\3"
                   "1")
                .root()
                .integer,
            1);  // POP_MARK
  EXPECT_EQ(Parsed("K\1"
                   "2\x86")
                .item(1)
                .integer,
            1);  // DUP
  EXPECT_EQ(Parsed(std::string("K\5q\0"
                               "0h\0",
                               7))
                .root()
                .integer,
            5);
  EXPECT_EQ(Parsed("K\5r" + little(0, 4) + "0j" + little(0, 4)).root().integer, 5);
  EXPECT_EQ(Parsed(std::string("K\5\x94K\6\x94\x86"
                               "0h\1",
                               10))
                .root()
                .integer,
            6);
  EXPECT_EQ(Parsed("\x95" + little(3, 8) + "K\5").root().integer, 5);
}

TEST(Pickle, RefusesGlobalsByName) {
  for (const std::string& code : {global("os", "system"), text("os") + text("system") + "\x93",
                                  global("os", "system") + "(" + text("true") + "tR"}) {
    const std::string what = message(code);
    EXPECT_THAT(what, HasSubstr("os.system"));
    EXPECT_THAT(what, HasSubstr("test.pkl"));
  }
  EXPECT_THAT(message(global("os\x1b[31m", "system")), HasSubstr("os?[31m.system"));
  EXPECT_LT(message(global(std::string(100000, 'a'), "b")).size(), 400u);
}

TEST(Pickle, RefusesOpcodesThatDataDoesNotNeed) {
  // INST, OBJ, NEWOBJ_EX, EXT1, PERSID, INT, STRING, and one that does not exist.
  for (const std::string& code : {std::string("(ios\nsystem\n"), std::string("(o"),
                                  std::string("\x92"), std::string("\x82\1"), std::string("Pid\n"),
                                  std::string("I1\n"), std::string("S'a'\n"), std::string("\xff")})
    EXPECT_THAT(message(code), HasSubstr("opcode"));
}

TEST(Pickle, RefusesPrograms) {
  const std::string dict = global("collections", "OrderedDict");
  const std::vector<std::string> programs = {
      "",                     // nothing to return
      "0",                    // POP of nothing
      "(",                    // only a mark
      "K\1(.",                // the value is behind a mark
      "t",                    // no mark
      "K\1\x86",              // too few
      "K\1(K\2\x86",          // across a mark
      "K\1K\2a",              // append to a number
      "}K\1a",                // append to a dict
      "]K\1K\2s",             // set in a list
      "}(K\1u",               // a key without value
      ")K\1a",                // append to a tuple
      "K\1)R",                // call of a number
      dict + ")R)R",          // call of a result
      dict + "K\1R",          // arguments that are not a tuple
      "]K\1b",                // state of a list
      "K\1K\2\x93",           // a global of numbers
      "h\5",                  // never stored
      std::string("q\0", 2),  // storing nothing
      "K\1r" + little(0xffffffff, 4),
      "K\1j" + little(0xffffffff, 4),
      "\x95" + little(UINT64_MAX, 8) + "N",
      "X" + little(0xffffffff, 4) + "abc",
      "\x8d" + little(UINT64_MAX, 8) + "abc",
      "\x8b" + little(0xffffffff, 4) + "abc",
      "cos",
      "cos\nsystem",
  };
  for (const std::string& body : programs)
    EXPECT_NE(message(body), "") << ::testing::PrintToString(body);
  for (const std::string start : {"\x80\1N.", "\x80\6N.", "N.", "(lp0\n."})
    EXPECT_THROW(read_pickle(std::as_bytes(std::span(start)), known, "x"), Error);
}

// Values may hold themselves; nothing walks them, so nothing loops.
TEST(Pickle, CyclesAreHarmless) {
  const Parsed list(std::string("]q\0h\0a", 6));
  EXPECT_EQ(&list.item(0), &list.root());
  const Parsed dict(std::string("}q\0K\1h\0s", 8));
  EXPECT_EQ(&dict.item(1), &dict.root());
}

// "Billion laughs": forty lists of ten times the one before. Shared, they are four hundred
// references.
TEST(Pickle, SharedValuesAreNotMultiplied) {
  std::string body = "]";
  for (int level = 0; level < 40; ++level)
    body += "q" + little(static_cast<uint64_t>(level), 1) + "](" +
            join(std::vector<std::string>(10, "h" + little(static_cast<uint64_t>(level), 1))) + "e";
  const Parsed parsed(body);
  EXPECT_LE(parsed.pickle.size(), 41u);
}

TEST(Pickle, DepthAndLengthAreBounded) {
  EXPECT_EQ(Parsed("N" + std::string(500'000, '\x85')).root().kind, PickleKind::kTuple);
  EXPECT_THAT(message(std::string(5'000'000, 'N')), HasSubstr("values"));
  EXPECT_NE(message(std::string(5'000'000, '(')), "");
  EXPECT_NE(message("N" + std::string(5'000'000, '2')), "");
}

TEST(Pickle, RefusesAProgramThatIsCutAnywhere) {
  const std::string whole = program(ordered_dict({{"a", integer(1)}, {"b", tuple({text("c")})}}));
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string cut = whole.substr(0, length);
    EXPECT_THROW(read_pickle(std::as_bytes(std::span(cut)), known, "x"), Error) << length;
  }
}

}  // namespace
}  // namespace nestvit
