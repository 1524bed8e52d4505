// Lists of paths: what is added comes back, also from an index, and hostile lists are refused.
#include "data/index/path_list.h"

#include "data/index/index.h"
#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;

TEST(PathList, KeepsWhatIsAdded) {
  const std::vector<std::string> paths = {"a/1", "a/22", "a/b/3", "x", "", "y", "/q/r", "a/1"};
  PathList list;
  for (const auto& path : paths) list.add(path);
  ASSERT_EQ(list.size(), std::ssize(paths));
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(list.at(static_cast<int64_t>(i)), paths[i]);
  const PathList part = list.part({7, 2, 2, 4});
  EXPECT_EQ(part.at(0) + "|" + part.at(1) + "|" + part.at(2) + "|" + part.at(3),
            "a/1|a/b/3|a/b/3|");
  EXPECT_THROW(list.at(8), std::out_of_range);
  EXPECT_THROW(list.at(-1), std::out_of_range);
}

TEST(PathList, ComesBackFromAnIndex) {
  const TempDir folder;
  PathList list;
  for (const char* path : {"cat/1.png", "cat/2.png", "dog/more/1.png", "x.png"}) list.add(path);
  {
    IndexWriter writer(folder / "list", "key");
    list.write(writer);
    writer.commit();
  }
  auto reader = IndexReader::open(folder / "list", "key");
  ASSERT_TRUE(reader);
  const PathList back = PathList::read(*reader);
  reader->end();
  ASSERT_EQ(back.size(), list.size());
  for (int64_t i = 0; i < list.size(); ++i) EXPECT_EQ(back.at(i), list.at(i));
}

// Checksums that are right, and contents that are not.
TEST(PathList, HostileOnesAreErrors) {
  const TempDir folder;
  struct Run {
    int64_t first;
    uint64_t begin, size;
  };
  struct Case {
    std::string text;
    std::vector<uint64_t> ends;
    std::vector<Run> runs;
    bool fine = false;
  };
  const std::vector<Case> cases = {
      {"a/xy", {3, 4}, {{0, 0, 2}}, true},
      {"", {}, {}, true},
      {"a/xy", {4, 3}, {{0, 0, 2}}},
      {"a/xy", {3, 5}, {{0, 0, 2}}},
      {"a/xy", {3, 3}, {{0, 0, 2}}},
      {"a/xy", {3, 4}, {}},
      {"a/xy", {3, 4}, {{1, 3, 1}}},
      {"a/xy", {3, 4}, {{0, 1, 1}}},
      {"a/xy", {3, 4}, {{0, 0, 4}}},
      {"a/xy", {3, 4}, {{0, 0, UINT64_MAX}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {0, 0, 2}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {2, 4, 0}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {1, 3, 2}}},
      {"a/xy", {3, 4}, {{-1, 0, 2}}},
      {"", {}, {{0, 0, 0}}},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const fs::path file = folder / "list";
    {
      IndexWriter writer(file, "key");
      writer.text(cases[i].text);
      writer.array(std::span(cases[i].ends));
      writer.array(std::span(cases[i].runs));
      writer.commit();
    }
    auto reader = IndexReader::open(file, "key");
    ASSERT_TRUE(reader);
    if (cases[i].fine) {
      const PathList list = PathList::read(*reader);
      reader->end();
      EXPECT_EQ(list.size() > 0 ? list.at(0) + list.at(1) : "a/xa/y", "a/xa/y");
    } else {
      expect_error([&] { PathList::read(*reader); }, {"list is damaged"});
    }
  }
}

}  // namespace
}  // namespace nestvit
