// Reading, atomic writing, and the bounded reader.
#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

class File : public ::testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      all.push_back(entry.path().filename());
    return all;
  }
  const testing::TempDir folder_;
};

TEST_F(File, WritesAndReads) {
  write_file(folder_ / "a", std::string_view("hello"));
  EXPECT_EQ(read_text(folder_ / "a"), "hello");
  EXPECT_EQ(MappedFile::open(folder_ / "a")->bytes().size(), 5u);
  write_file(folder_ / "a", std::string_view(""));
  EXPECT_EQ(read_text(folder_ / "a"), "");
  EXPECT_TRUE(MappedFile::open(folder_ / "a")->bytes().empty());
  EXPECT_EQ(names().size(), 1u);
}

TEST_F(File, ErrorsNameThePath) {
  try {
    read_text(folder_ / "missing");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("missing"));
    EXPECT_FALSE(e.hint().empty());
  }
  EXPECT_THROW(read_text(folder_.path()), Error);
  EXPECT_THROW(MappedFile::open(folder_.path()), Error);
  write_file(folder_ / "a", std::string_view("hello"));
  EXPECT_THROW(read_file(folder_ / "a", 4), Error);
}

TEST_F(File, NamedPipeDoesNotHang) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(read_text(folder_ / "pipe"), Error);
}

// A file-size limit stands in for a full disk: the old file stays, and nothing is left behind.
TEST_F(File, FailedWriteLosesNothing) {
  write_file(folder_ / "a", std::string_view("old"));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_file(folder_ / "a", std::string(100000, 'x')), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(folder_ / "a"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(File, PiecesAppearTogetherOrNotAtAll) {
  const auto add = [](AtomicFile& file, std::string_view text) {
    file.write(std::as_bytes(std::span(text.data(), text.size())));
  };
  write_file(folder_ / "a", std::string_view("old"));
  {
    AtomicFile file(folder_ / "a");
    add(file, "never finished");
  }
  EXPECT_EQ(read_text(folder_ / "a"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  AtomicFile file(folder_ / "a");
  add(file, "one, ");
  add(file, "");
  add(file, "two");
  EXPECT_EQ(read_text(folder_ / "a"), "old");
  file.commit();
  EXPECT_EQ(read_text(folder_ / "a"), "one, two");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  EXPECT_THROW(AtomicFile(folder_ / "missing" / "a"), Error);
}

TEST_F(File, DirectoryIsReplacedWhole) {
  const auto fill = [](const char* text) {
    return [text](const fs::path& folder) { write_file(folder / "x", std::string_view(text)); };
  };
  write_directory(folder_ / "d", fill("one"));
  write_directory(folder_ / "d", fill("two"));
  EXPECT_EQ(read_text(folder_ / "d" / "x"), "two");
  EXPECT_THROW(write_directory(folder_ / "d", [](const fs::path&) { throw Error("no"); }), Error);
  EXPECT_EQ(read_text(folder_ / "d" / "x"), "two");
  EXPECT_EQ(names(), std::vector<std::string>{"d"});
}

TEST_F(File, AFolderIsLockedForOneAtATime) {
  {
    const FolderLock first(folder_.path());
    EXPECT_THROW(FolderLock second(folder_.path()), Error);
  }
  EXPECT_NO_THROW(FolderLock third(folder_.path()));
  EXPECT_THROW(FolderLock none(folder_ / "missing"), Error);
}

TEST_F(File, HintsSayWhereSpaceIsMissing) {
  EXPECT_THAT(write_error_hint(folder_ / "a", ENOSPC),
              ::testing::HasSubstr(folder_.path().string()));
  EXPECT_THAT(write_error_hint(folder_ / "a", ENOSPC), ::testing::HasSubstr(" MB "));
  EXPECT_THAT(write_error_hint(folder_ / "a", EACCES), ::testing::HasSubstr("permissions"));
  EXPECT_EQ(write_error_hint(folder_ / "a", EIO), "");
}

TEST(BoundedReader, StopsAtTheEnd) {
  const std::vector<std::byte> bytes = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                        std::byte{5}};
  BoundedReader reader(bytes, "test");
  EXPECT_EQ(reader.little<uint16_t>(), 0x0201);
  EXPECT_EQ(reader.big<uint16_t>(), 0x0304);
  EXPECT_THROW(reader.little<uint32_t>(), Error);
  EXPECT_EQ(reader.remaining(), 1u);
  EXPECT_THROW(reader.take(UINT64_MAX), Error);
  EXPECT_EQ(reader.little<uint8_t>(), 5);
}

}  // namespace
}  // namespace nestvit
