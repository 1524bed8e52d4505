// Index files: what is written is read, and nothing else; stamps of files and folders.
#include "data/index/index.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;

class IndexFile : public ::testing::Test {
 protected:
  void write() const {
    IndexWriter writer(path, "key");
    writer.number(7);
    writer.text("some text");
    writer.text("");
    const std::vector<int64_t> numbers = {1, -2, INT64_MAX};
    writer.array(std::span(numbers));
    writer.texts({"a", "", "bc"});
    writer.commit();
  }
  static void read(IndexReader& reader) {
    EXPECT_EQ(reader.number(), 7u);
    EXPECT_EQ(reader.text(), "some text");
    EXPECT_EQ(reader.text(), "");
    EXPECT_EQ(reader.array<int64_t>(), (std::vector<int64_t>{1, -2, INT64_MAX}));
    EXPECT_EQ(reader.texts(), (std::vector<std::string>{"a", "", "bc"}));
    reader.end();
  }
  const TempDir folder;
  const fs::path path = folder / "an.idx";
};

TEST_F(IndexFile, ComesBack) {
  write();
  auto reader = IndexReader::open(path, "key");
  ASSERT_TRUE(reader);
  read(*reader);
}

TEST_F(IndexFile, AnotherKeyOrNoFileIsNone) {
  write();
  EXPECT_FALSE(IndexReader::open(path, "another"));
  EXPECT_FALSE(IndexReader::open(folder / "none", "key"));
  EXPECT_FALSE(IndexReader::open(folder.path(), "key"));
}

TEST_F(IndexFile, NothingIsThereBeforeTheCommit) {
  { IndexWriter(path, "key").text("never committed"); }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(IndexFile, EveryChangedByteAndEveryCutIsAnError) {
  write();
  const Bytes whole = read_file(path);
  const auto open = [&](const Bytes& bytes) {
    auto reader = IndexReader::parse(bytes, "an.idx", "key");
    ASSERT_TRUE(reader);
    read(*reader);
  };
  ASSERT_NO_THROW(open(whole));
  for (size_t at = 0; at < whole.size(); ++at) {
    Bytes broken = whole;
    broken[at] ^= std::byte{0x41};
    EXPECT_THROW(open(broken), Error) << at;
    EXPECT_THROW(open({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at)}), Error)
        << at;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(open(longer), Error);
}

TEST_F(IndexFile, BlocksOfAnotherKindAreErrors) {
  write();
  auto reader = IndexReader::open(path, "key");
  expect_error([&] { reader->texts(); }, {"an.idx is damaged"});
  reader = IndexReader::open(path, "key");
  reader->number();
  expect_error([&] { reader->number(); }, {"block of another length"});
  reader = IndexReader::open(path, "key");
  expect_error([&] { reader->end(); }, {"more than it should hold"});
}

TEST(Stamps, TellStatesOfAFileApart) {
  const DataDir folder;
  EXPECT_EQ(stamp_of(folder / "none"), std::nullopt);
  const fs::path file = folder.text("a", "12");
  const auto first = stamp_of(file);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size, 2u);
  EXPECT_EQ(stamp_of(file), first);
  fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(1));
  EXPECT_NE(stamp_of(file), first);
  folder.text("b", "12");
  fs::rename(folder / "b", file);
  EXPECT_NE(stamp_of(file)->inode, first->inode);
  fs::create_symlink(file, folder / "link");
  EXPECT_EQ(stamp_of(folder / "link"), stamp_of(file));
}

TEST(Stamps, YoungOnesAreNotSettled) {
  const DataDir folder;
  const Stamp now = *stamp_of(folder.text("a", ""));
  EXPECT_FALSE(settled(now, now_ns()));
  EXPECT_FALSE(settled(now, now.changed + 2'000'000'000));
  EXPECT_TRUE(settled(now, now.changed + 2'000'000'001));
}

}  // namespace
}  // namespace nestvit
