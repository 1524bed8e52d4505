// tar headers: what Debian's tar writes in its forms, and files that lie.
#include "data/shards/tar.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Entry {
  std::string name, content;
  bool operator==(const Entry&) const = default;
};

std::vector<Entry> entries(const std::string& file) {
  std::vector<Entry> found;
  read_tar(std::as_bytes(std::span(file)), "x.tar", [&](const TarMember& m) {
    ASSERT_LE(m.offset + m.size, file.size());
    found.push_back({m.name, file.substr(m.offset, m.size)});
  });
  return found;
}

class Tar : public ::testing::Test {
 protected:
  // The folder's files by the system's tar.
  std::string packed(const std::string& format, const std::string& members) const {
    const std::string command =
        "cd '" + folder.path().string() + "' && tar --format=" + format + " -cf x.tar " + members;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return bytes_of(folder.path() / "x.tar");
  }
  DataDir folder;
};

TEST_F(Tar, EveryFormThatTarWrites) {
  const std::string deep = "a/" + std::string(60, 'b') + "/" + std::string(60, 'c');
  folder.text("a/1.cls", "3");
  folder.text("a/empty", "");
  folder.text(deep, "deep");
  folder.text("a/block", std::string(512, 'z'));
  fs::create_symlink("1.cls", folder.path() / "a/link");
  const std::string members = "a/1.cls a/link a/empty " + deep + " a/block";
  const std::vector<Entry> wanted = {
      {"a/1.cls", "3"}, {"a/empty", ""}, {deep, "deep"}, {"a/block", std::string(512, 'z')}};
  for (const char* format : {"ustar", "gnu", "posix", "oldgnu"})
    EXPECT_EQ(entries(packed(format, members)), wanted) << format;
  EXPECT_EQ(entries(packed("v7", "a/1.cls a/block")), (std::vector<Entry>{wanted[0], wanted[3]}));
}

TEST_F(Tar, NamesThatNoHeaderHolds) {
  const std::string name = "d/" + std::string(150, 'n') + ".jpg";
  folder.text(name, "long");
  for (const char* format : {"gnu", "posix"})
    EXPECT_EQ(entries(packed(format, "d")), (std::vector<Entry>{{name, "long"}})) << format;
}

TEST_F(Tar, CutOffAnywhereIsAnErrorOrAWholeMember) {
  folder.text("1.cls", "7");
  const std::string file = packed("ustar", "1.cls");
  for (size_t length = 1; length < 1024; ++length) {
    const std::string cut = file.substr(0, length);
    if (length >= 513)  // the member's byte is there
      EXPECT_EQ(entries(cut), (std::vector<Entry>{{"1.cls", "7"}})) << length;
    else
      expect_error([&] { entries(cut); }, {"x.tar", "byte 0"});
  }
}

TEST_F(Tar, EveryByteOfAHeaderCounts) {
  folder.text("1.cls", "7");
  const std::string file = packed("ustar", "1.cls");
  for (size_t i = 0; i < 512; ++i) {
    if (i >= 148 && i < 156) continue;  // the checksum itself, which has padding
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    expect_error([&] { entries(damaged); }, {"x.tar", "checksum"});
  }
}

// A header with a right checksum.
std::string header(const std::string& name, const std::string& size, char type) {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  block.replace(124, size.size(), size);
  block[156] = type;
  block.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char text[9];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(148, 7, std::string(text, 7));
  return block;
}

TEST_F(Tar, HostileSizesAndRecords) {
  const auto fails = [](const std::string& file, const std::string& what) {
    expect_error([&] { entries(file); }, {"x.tar", what});
  };
  fails(header("a", "77777777777", '0'), "longer than the rest");
  fails(header("a", "8", '0'), "not a number");
  fails(header("a", "", '0'), "not a number");
  fails(header("a", std::string(1, '\x80') + std::string(11, '\xff'), '0'), "not a number");
  fails(header("a", "1000000", 'L') + std::string(1 << 18, 'x'), "64 KiB");
  const auto pax = [](std::string text) {
    const size_t size = text.size();
    char octal[13];
    std::snprintf(octal, sizeof octal, "%011o", static_cast<unsigned>(size));
    text.resize(512);
    return header("p", octal, 'x') + text + header("a", "0", '0');
  };
  for (const char* damaged : {"x", "99 path=a\n", "9 path=ab", "7 patha\n", "0 path=a\n", "1", " "})
    fails(pax(damaged), "pax record");
  fails(pax("11 size=x1\n"), "not a number");
  EXPECT_EQ(entries(pax("9 path=b\n")), (std::vector<Entry>{{"b", ""}}));
  fails(std::string("\x1f\x8b\x08", 3) + std::string(600, '\0'), "compressed");
  EXPECT_THAT(entries(""), ElementsAre());
  EXPECT_THAT(entries(std::string(1024, '\0')), ElementsAre());
}

}  // namespace
}  // namespace nestvit
