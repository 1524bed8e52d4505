// Reading, atomic writing, and the bounded reader.
#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "support/errors.h"
#include "support/temp_dir.h"

// A file system where no file takes another's place: this program's rename() refuses while it is
// set.
static int rename_error = 0;
int rename(const char* from, const char* to) noexcept {
  if (rename_error == 0) return renameat(AT_FDCWD, from, AT_FDCWD, to);
  errno = rename_error;
  return -1;
}

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

TEST_F(File, ALinkStaysAndItsTargetIsReplaced) {
  fs::create_directories(folder_ / "far");
  write_file(folder_ / "far/file", std::string_view("old"));
  fs::create_symlink("far/file", folder_ / "link");
  fs::create_symlink("far/new", folder_ / "dangling");
  write_file(folder_ / "link", std::string_view("new"));
  write_file(folder_ / "dangling", std::string_view("made"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "dangling"));
  EXPECT_EQ(read_text(folder_ / "far/file"), "new");
  EXPECT_EQ(read_text(folder_ / "far/new"), "made");
  EXPECT_EQ(names().size(), 3u);

  fs::create_directory_symlink("far", folder_ / "folder");
  write_directory(folder_ / "folder",
                  [](const fs::path& into) { write_file(into / "x", std::string_view("1")); });
  EXPECT_TRUE(fs::is_symlink(folder_ / "folder"));
  EXPECT_EQ(read_text(folder_ / "far/x"), "1");
}

TEST_F(File, PermissionsStay) {
  write_file(folder_ / "a", std::string_view("old"));
  fs::permissions(folder_ / "a", fs::perms::owner_read | fs::perms::owner_write);
  write_file(folder_ / "a", std::string_view("new"));
  EXPECT_EQ(fs::status(folder_ / "a").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(File, DevicesPipesAndDescriptorsAreWrittenThrough) {
  write_file("/dev/null", std::string_view("gone"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  testing::expect_error([] { write_file("/dev/full", std::string_view("x")); }, {"/dev/full"});

  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] {
    const int fd = ::open(pipe.c_str(), O_RDONLY);
    char piece[64];
    for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;) got.append(piece, n);
    ::close(fd);
  });
  write_file(pipe, std::string_view("through"));
  reader.join();
  EXPECT_EQ(got, "through");
  EXPECT_TRUE(fs::is_fifo(pipe));

  // As a shell's `>file`: the next one goes on where this one ended.
  const int fd = ::open((folder_ / "a").c_str(), O_WRONLY | O_CREAT, 0600);
  const fs::path name = "/dev/fd/" + std::to_string(fd);
  for (const char* text : {"one, ", "two"}) write_file(name, std::string_view(text));
  ::close(fd);
  EXPECT_EQ(read_text(folder_ / "a"), "one, two");
}

TEST_F(File, WhatIsUnfinishedCanBeKept) {
  write_file(folder_ / "a", std::string_view("old"));
  {
    AtomicFile file(folder_ / "a", AtomicFile::Unfinished::kKept);
    file.write(std::string_view("so far"));
    EXPECT_EQ(read_text(file.unfinished()), "so far");
  }
  EXPECT_EQ(read_text(folder_ / "a"), "old");
  EXPECT_EQ(read_text(folder_ / "a.partial"), "so far");
  {
    AtomicFile file(folder_ / "a", AtomicFile::Unfinished::kKept);
    file.write(std::string_view("all"));
    file.commit();
  }
  EXPECT_EQ(read_text(folder_ / "a"), "all");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  write_file(folder_ / std::string(255, 'x'), std::string_view("old"));
  {
    AtomicFile file(folder_ / std::string(255, 'x'), AtomicFile::Unfinished::kKept);
    file.write(std::string_view("new"));
    file.commit();
  }
  EXPECT_EQ(read_text(folder_ / std::string(255, 'x')), "new");
  fs::remove(folder_ / std::string(255, 'x'));
  { const AtomicFile nothing(folder_ / "b", AtomicFile::Unfinished::kKept); }
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

// A single file that is mounted into a container, and file systems that cannot rename over a file.
TEST_F(File, WithoutRenamingTheContentIsReplaced) {
  write_file(folder_ / "a", std::string_view("old and long"));
  for (const int error : {EBUSY, EEXIST, EPERM}) {
    rename_error = error;
    EXPECT_NO_THROW(write_file(folder_ / "a", std::string_view("new")));
    rename_error = 0;
    EXPECT_EQ(read_text(folder_ / "a"), "new");
    EXPECT_EQ(names(), std::vector<std::string>{"a"});
  }
}

TEST_F(File, InAFolderThatTakesNoFilesTheContentIsReplaced) {
  if (getuid() == 0) GTEST_SKIP() << "root ignores permissions";
  write_file(folder_ / "a", std::string_view("old and long"));
  fs::permissions(folder_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_NO_THROW(write_file(folder_ / "a", std::string_view("new")));
  EXPECT_EQ(read_text(folder_ / "a"), "new");
  fs::permissions(folder_.path(), fs::perms::owner_all);
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
