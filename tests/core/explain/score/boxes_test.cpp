// The reader of boxes: good files, hostile files, paths that start elsewhere.
#include "explain/score/boxes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using Boxes = std::vector<ObjectBox>;

Boxes found(const BoxTable& table, const std::string& path) {
  const auto boxes = table.find(path);
  return {boxes.begin(), boxes.end()};
}

BoxTable parsed(const std::string& text) { return BoxTable::parse(text, "boxes.txt"); }

std::string message_of(const std::string& text) {
  return testing::error_of([&] { parsed(text); });
}

TEST(BoxTable, ReadsWsolevaluationsLines) {
  const BoxTable table = parsed(
      "val/a.JPEG,111,108,441,193\nval/b.JPEG,0,0,0,0\n"
      "val/a.JPEG,1,2,3,4\n");
  EXPECT_EQ(table.images(), 2u);
  EXPECT_EQ(table.boxes(), 3u);
  EXPECT_EQ(found(table, "val/a.JPEG"), (Boxes{{111, 108, 441, 193}, {1, 2, 3, 4}}));
  EXPECT_EQ(found(table, "val/b.JPEG"), (Boxes{{0, 0, 0, 0}}));
  EXPECT_EQ(found(table, "val/c.JPEG"), Boxes{});
}

TEST(BoxTable, LinesMayEndAsTheyLikeAndPathsMayHoldCommas) {
  const BoxTable table = parsed(
      "\xEF\xBB\xBF"
      "a, b.jpg,1,2, 3.5,4\r\n\r\nc.jpg,1e1,0,20,30");
  EXPECT_EQ(found(table, "a, b.jpg"), (Boxes{{1, 2, 3.5, 4}}));
  EXPECT_EQ(found(table, "c.jpg"), (Boxes{{10, 0, 20, 30}}));
}

TEST(BoxTable, FindsPathsThatStartElsewhere) {
  const BoxTable table = parsed("val/cat/1.jpg,1,1,1,1\nval/dog/1.jpg,2,2,2,2\nx/7.jpg,3,3,3,3\n");
  EXPECT_EQ(found(table, "/data/set/val/dog/1.jpg"), (Boxes{{2, 2, 2, 2}}));
  EXPECT_EQ(found(table, "dog/1.jpg"), (Boxes{{2, 2, 2, 2}}));
  EXPECT_EQ(found(table, "other/dog/1.jpg"), (Boxes{{2, 2, 2, 2}}));
  EXPECT_EQ(found(table, "7.jpg"), (Boxes{{3, 3, 3, 3}}));
  EXPECT_EQ(found(table, "1.jpg"), Boxes{});       // of a cat or of a dog
  EXPECT_EQ(found(table, "bird/1.jpg"), Boxes{});  // likewise
  EXPECT_EQ(found(table, "17.jpg"), Boxes{});      // ends with "7.jpg", but not as a path
  EXPECT_EQ(found(table, ""), Boxes{});
}

TEST(BoxTable, EveryDamageNamesItsLine) {
  EXPECT_THAT(message_of("a,1,2,3,4\nb,1,2,3\n"), HasSubstr("boxes.txt line 2: "));
  EXPECT_THAT(message_of("\n\na,1,2,x,4\n"), HasSubstr("line 3: expected a number"));
  EXPECT_THAT(message_of("a,1,2,,4\n"), HasSubstr("expected a number"));
  EXPECT_THAT(message_of("a,1,2,nan,4\n"), HasSubstr("line 1"));
  EXPECT_THAT(message_of("a,1,2,inf,4\n"), HasSubstr("line 1"));
  EXPECT_THAT(message_of("a,1,2,1e7,4\n"), HasSubstr("1e+07"));
  EXPECT_THAT(message_of("a,1,2,1e999,4\n"), HasSubstr("line 1"));
  EXPECT_THAT(message_of("a,-1,2,3,4\n"), HasSubstr("-1"));
  EXPECT_THAT(message_of("a,5,2,3,4\n"), HasSubstr("ends before it starts"));
  EXPECT_THAT(message_of(",1,2,3,4\n"), HasSubstr("no path"));
  EXPECT_THAT(message_of("1,2,3,4\n"), HasSubstr("fewer than five fields"));
  EXPECT_THAT(message_of(std::string("a,1,2,3,4\n\0", 11)), HasSubstr("no text"));
}

TEST(BoxTable, AFileWithoutABoxIsAnError) {
  const testing::TempDir folder;
  write_file(folder.path() / "empty.txt", std::string_view("\n\n"));
  EXPECT_THROW(BoxTable::read(folder.path() / "empty.txt"), Error);
  EXPECT_THROW(BoxTable::read(folder.path() / "missing.txt"), Error);
  write_file(folder.path() / "one.txt", std::string_view("a,1,2,3,4"));
  EXPECT_EQ(BoxTable::read(folder.path() / "one.txt").boxes(), 1u);
}

}  // namespace
}  // namespace nestvit
