// Places for results: links, devices, pipes, descriptors, and places that cannot be written.
#include "base/system/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;

class PlaceTest : public ::testing::Test {
 protected:
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }
  const testing::TempDir folder_;
};

TEST_F(PlaceTest, LinksLeadToWhatIsReplaced) {
  fs::create_directories(folder_ / "far");
  write_file(folder_ / "far/file", std::string_view("x"));
  fs::create_symlink("far/file", folder_ / "link");
  fs::create_symlink("link", folder_ / "second");
  fs::create_symlink("far/new", folder_ / "dangling");
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_TRUE(fs::equivalent(place_of(folder_ / "second").path, folder_ / "far/file"));
  EXPECT_EQ(place_of(folder_ / "dangling").path, folder_ / "far/new");
  EXPECT_FALSE(place_of(folder_ / "second").stream);
  EXPECT_FALSE(place_of(folder_ / "none").stream);
  EXPECT_THROW(check_file_place(folder_ / "loop"), Error);
}

TEST_F(PlaceTest, DevicesAndPipesAreStreams) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("/dev/null", folder_ / "link");
  EXPECT_TRUE(place_of("/dev/null").stream);
  EXPECT_TRUE(place_of(folder_ / "link").stream);
  EXPECT_TRUE(place_of(folder_ / "pipe").stream);
  EXPECT_EQ(place_of("/dev/null").descriptor, -1);
}

TEST_F(PlaceTest, DescriptorsAreKnownByEveryName) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(place_of("-").descriptor, 1);
  EXPECT_EQ(place_of("/dev/stdout").descriptor, 1);
  EXPECT_EQ(place_of("/dev/stderr").descriptor, 2);
  EXPECT_EQ(place_of(fmt::format("/dev/fd/{}", ends[1])).descriptor, ends[1]);
  EXPECT_EQ(place_of(fmt::format("/proc/self/fd/{}", ends[1])).descriptor, ends[1]);
  EXPECT_EQ(place_of(fmt::format("/proc/{}/fd/{}", getpid(), ends[1])).descriptor, ends[1]);
  EXPECT_NO_THROW(check_file_place(fmt::format("/dev/fd/{}", ends[1])));
  EXPECT_THROW(check_file_place(fmt::format("/dev/fd/{}", ends[0])), Error) << "the reading end";
  EXPECT_THROW(check_file_place("/dev/fd/987"), Error);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(PlaceTest, WhatCannotBeWrittenIsSaidWithTheReason) {
  expect_error([&] { check_file_place(folder_ / "no/where.csv"); },
               {"no/where.csv", "no folder", "mkdir -p"});
  expect_error([&] { check_file_place(folder_.path()); }, {folder_.path().string(), "folder"});
  expect_error([&] { check_file_place(folder_.path().string() + "/new/"); }, {"folder"});
  expect_error([&] { check_file_place("/dev/full"); }, {"/dev/full", "No space left"});
  expect_error([&] { check_file_place(folder_ / std::string(300, 'x')); }, {"too long"});
  write_file(folder_ / "file", std::string_view("kept"));
  expect_error([&] { check_file_place(folder_ / "file/below"); }, {"file/below"});
  expect_error([&] { check_folder_place(folder_ / "file"); }, {"file is no folder"});
  expect_error([&] { check_folder_place(folder_ / "file/a/b"); }, {"file is no folder"});
  fs::create_symlink("nowhere", folder_ / "dangling");
  expect_error([&] { check_folder_place(folder_ / "dangling"); }, {"dangling", "nowhere"});
  EXPECT_EQ(entries(), 2u);
  EXPECT_EQ(read_text(folder_ / "file"), "kept");
}

TEST_F(PlaceTest, ALookLeavesNothing) {
  write_file(folder_ / "file", std::string_view("kept"));
  check_file_place(folder_ / "file");
  check_file_place(folder_ / "new");
  check_folder_place(folder_ / "new/below");
  check_folder_place(folder_.path().string() + "/");
  check_file_place("/dev/null");
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(read_text(folder_ / "file"), "kept");
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  check_file_place(folder_ / "pipe");  // nobody reads yet
}

// Root may write everywhere but where the kernel says no.
TEST_F(PlaceTest, ReadOnlyPlaces) {
  EXPECT_THROW(check_file_place("/proc/version"), Error);
  EXPECT_THROW(check_file_place("/proc/new"), Error);
  EXPECT_THROW(check_folder_place("/proc/new/below"), Error);
  if (getuid() == 0) GTEST_SKIP() << "root ignores permissions";
  write_file(folder_ / "file", std::string_view("kept"));
  fs::permissions(folder_ / "file", fs::perms::owner_read);
  expect_error([&] { check_file_place(folder_ / "file"); }, {"file", "permissions"});
  fs::permissions(folder_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  expect_error([&] { check_file_place(folder_ / "new"); }, {"new", "permissions"});
  expect_error([&] { check_folder_place(folder_ / "new"); }, {"new", "permissions"});
  fs::permissions(folder_.path(), fs::perms::owner_all);
}

TEST(Beside, FitsBesideTheLongestName) {
  const fs::path name = beside("folder/" + std::string(255, 'x'));
  EXPECT_EQ(name.parent_path(), "folder");
  EXPECT_LE(name.filename().string().size(), 255u);
  EXPECT_NE(beside("a"), beside("a"));
}

}  // namespace
}  // namespace nestvit
