// Unpacking: what an honest archive holds comes out, what a hostile one wants does not happen.
#include "hub/archive.h"

#include "support/hub/hub_test.h"
#include "support/hub/tar_maker.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ArchiveLimits kLimits = {1 << 20, 16};

class Archive : public HubTest {
 protected:
  fs::path packed(const std::string& content) const {
    write_file(path("a.tgz"), std::string_view(content));
    return path("a.tgz");
  }
  fs::path tgz(const std::string& members) const { return packed(gzip(members + tar_end())); }
  // Fails, and leaves neither the folder nor a trace of it.
  std::string refused(const std::string& members) const {
    const fs::path archive = tgz(members);
    fs::create_directories(path("in"));
    const std::string error = error_of([&] { unpack_tar_gz(archive, path("in/out"), kLimits); });
    EXPECT_TRUE(fs::is_empty(path("in")));
    EXPECT_THAT(error, HasSubstr("a.tgz"));
    return error;
  }
};

TEST_F(Archive, FilesAndFoldersWithoutTheirTop) {
  const std::string large = noise(200'000);
  unpack_tar_gz(tgz(tar_member("./top/", "", '5') + tar_member("./top/a.bin", large) +
                    tar_member("top/b/c/d.txt", "d") + tar_member("top/empty", "") +
                    tar_member("top/folder/", "", '5')),
                path("out"), kLimits);
  EXPECT_THAT(names_in(path("out")), ElementsAre("a.bin", "b", "empty", "folder"));
  EXPECT_EQ(read_text(path("out/a.bin")), large);
  EXPECT_EQ(read_text(path("out/b/c/d.txt")), "d");
  EXPECT_TRUE(fs::is_directory(path("out/folder")));
}

TEST_F(Archive, NamesThatLeaveTheFolder) {
  for (const char* name : {"/etc/passwd", "//x", "../x", "top/../../x", "top/..", "..",
                           "top/a/../b", "top/\x1b[31m", "top/a\nb", "top\\..\\x"})
    EXPECT_THAT(refused(tar_member("top/first", "1") + tar_member(name, "evil")),
                HasSubstr("unsafe name"))
        << name;
  EXPECT_FALSE(fs::exists(path("x")));
}

TEST_F(Archive, LinksAndDevices) {
  EXPECT_THAT(
      refused(tar_member("top/link", "", '2', "/etc") + tar_member("top/link/passwd", "evil")),
      HasSubstr("link or a device"));
  EXPECT_THAT(refused(tar_member("top/link", "", '1', "/etc/passwd")),
              HasSubstr("link or a device"));
  for (const char type : {'3', '4', '6'})
    EXPECT_THAT(refused(tar_member("top/special", "", type)), HasSubstr("link or a device"))
        << type;
}

TEST_F(Archive, TooManyBytesOrFiles) {
  EXPECT_THAT(refused(tar_member("top/zeros", std::string((1 << 20) + 1, '\0'))),
              HasSubstr("more than is expected"));
  EXPECT_THAT(refused(tar_member("top/a", std::string(600'000, '\0')) +
                      tar_member("top/b", std::string(600'000, '\0'))),
              HasSubstr("more than is expected"));
  std::string many;
  for (int i = 0; i < 17; ++i) many += tar_member(fmt::format("top/{}", i), "");
  EXPECT_THAT(refused(many), HasSubstr("more files"));
  std::string deep = "top";
  for (int i = 0; i < 40; ++i) deep += "/d";
  EXPECT_THAT(refused(tar_member(deep, "x")), HasSubstr("without end"));
}

TEST_F(Archive, Bomb) {  // 1 GiB of zeros in about 1 MB
  std::string zeros = tar_member("top/zeros", "", '0', "", int64_t{1} << 30);
  zeros.resize(64 << 20);
  EXPECT_THAT(refused(zeros), HasSubstr("more than is expected"));
}

TEST_F(Archive, ConfusedStructure) {
  EXPECT_THAT(refused(tar_member("top/a", "1") + tar_member("top/a", "2")), HasSubstr("twice"));
  EXPECT_THAT(refused(tar_member("top/a", "1") + tar_member("other/a", "2")), HasSubstr("beside"));
  EXPECT_THAT(refused(tar_member("file", "1")), HasSubstr("beside"));
  refused(tar_member("top/a", "1") + tar_member("top/a/b", "2"));
}

TEST_F(Archive, DamagedAtAnyPlace) {
  const std::string whole =
      gzip(tar_member("top/a", noise(2000)) + tar_member("top/b", "b") + tar_end());
  for (size_t size = 0; size + 1500 < whole.size(); size += 7) {
    packed(whole.substr(0, size));
    EXPECT_NE(error_of([&] { unpack_tar_gz(path("a.tgz"), path("out"), kLimits); }), "") << size;
    EXPECT_FALSE(fs::exists(path("out")));
  }
  packed("no archive at all");
  EXPECT_THAT(error_of([&] { unpack_tar_gz(path("a.tgz"), path("out"), kLimits); }),
              HasSubstr("damaged"));
  EXPECT_THAT(error_of([&] { unpack_tar_gz(path("nowhere.tgz"), path("out"), kLimits); }),
              HasSubstr("nowhere.tgz"));
}

TEST_F(Archive, SingleFile) {
  const std::string content = noise(100'000);
  unpack_gz(packed(gzip(content)), path("file"), content.size());
  EXPECT_EQ(read_text(path("file")), content);
}

TEST_F(Archive, SingleFileOfAnotherSize) {
  const std::string content = noise(1000);
  const fs::path archive = packed(gzip(content));
  for (const uint64_t size : {0, 999, 1001})
    EXPECT_NE(error_of([&] { unpack_gz(archive, path("file"), size); }), "") << size;
  const std::string whole = gzip(content);
  for (size_t size = 0; size < whole.size() - 8; size += 50) {
    packed(whole.substr(0, size));
    EXPECT_NE(error_of([&] { unpack_gz(archive, path("file"), content.size()); }), "") << size;
  }
  packed(content);
  EXPECT_THAT(error_of([&] { unpack_gz(archive, path("file"), content.size()); }),
              HasSubstr("not gzip"));
  EXPECT_FALSE(fs::exists(path("file")));
}

}  // namespace
}  // namespace nestvit::testing
