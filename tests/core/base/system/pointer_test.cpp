// Names that lead to folders, with and without symbolic links.
#include "base/system/pointer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "support/temp_dir.h"

// A file system without links: this program's symlink() refuses while it is set.
static bool no_links = false;
int symlink(const char* target, const char* name) noexcept {
  if (!no_links) return symlinkat(target, AT_FDCWD, name);
  errno = EPERM;
  return -1;
}

namespace nestvit {
namespace {

namespace fs = std::filesystem;

class PointerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"one", "two"}) {
      fs::create_directories(folder_ / name);
      write_file(folder_ / name / "file", std::string_view(name));
    }
  }
  void TearDown() override { no_links = false; }

  // The content of the file of the folder that `name` leads to.
  std::string behind(const std::string& name) const {
    return read_text(pointed_at(folder_ / name) / "file");
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }
  const testing::TempDir folder_;
};

TEST_F(PointerTest, IsALinkWhereThereAreLinks) {
  EXPECT_TRUE(point(folder_ / "name", "one"));
  EXPECT_EQ(fs::read_symlink(folder_ / "name"), "one");
  EXPECT_TRUE(point(folder_ / "name", "two"));
  EXPECT_EQ(behind("name"), "two");
  EXPECT_EQ(pointed_at(folder_ / "name"), folder_ / "name");
  EXPECT_EQ(entries(), 3u);
}

TEST_F(PointerTest, IsATextFileElsewhere) {
  no_links = true;
  EXPECT_FALSE(point(folder_ / "name", "one"));
  EXPECT_TRUE(fs::is_regular_file(folder_ / "name"));
  EXPECT_EQ(behind("name"), "one");
  EXPECT_FALSE(point(folder_ / "name", "two"));
  EXPECT_EQ(behind("name"), "two");
  EXPECT_EQ(read_text(pointed_at(folder_ / "name/file")), "two");
  EXPECT_EQ(entries(), 3u);
}

// A run's folder is copied from one disk to the other, and goes on there.
TEST_F(PointerTest, EitherKindReplacesTheOther) {
  point(folder_ / "name", "one");
  no_links = true;
  point(folder_ / "name", "two");
  EXPECT_EQ(behind("name"), "two");
  EXPECT_EQ(read_text(folder_ / "one/file"), "one") << "the link is replaced, not its target";
  no_links = false;
  point(folder_ / "name", "one");
  EXPECT_TRUE(fs::is_symlink(folder_ / "name"));
  EXPECT_EQ(behind("name"), "one");
}

TEST_F(PointerTest, ACopyOfAFolderIsKept) {
  for (const bool without : {false, true}) {
    no_links = without;
    fs::remove_all(folder_ / "name");
    fs::copy(folder_ / "one", folder_ / "name");
    point(folder_ / "name", "two");
    EXPECT_EQ(behind("name"), "two");
    EXPECT_EQ(behind("name.copy"), "one");
  }
}

TEST_F(PointerTest, OtherFilesLeadNowhere) {
  for (const char* text : {"", "\n", "none", "one\ntwo\n", "/"}) {
    write_file(folder_ / "name", std::string_view(text));
    EXPECT_EQ(pointed_at(folder_ / "name"), folder_ / "name") << text;
  }
  write_file(folder_ / "name", std::string(5000, '/'));
  EXPECT_EQ(pointed_at(folder_ / "name"), folder_ / "name");
  EXPECT_EQ(pointed_at(folder_ / "absent/name"), folder_ / "absent/name");
  write_file(folder_ / "name", std::string_view("one"));  // as Git leaves links
  EXPECT_EQ(behind("name"), "one");
}

}  // namespace
}  // namespace nestvit
