// Zip archives: what the writer makes is read back, hand-made ones of other writers too, and lies
// are refused.
#include "weights/torch/zip.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <functional>

#include "support/pickle_builder.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using testing::little;
using testing::zip_of;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::map<std::string, ZipEntry> read(const std::string& file) {
  return read_zip(std::as_bytes(std::span(file)), "test.zip");
}

// One entry and its archive, with every number that could lie as a member.
struct Crafted {
  std::string name = "a", bytes = "hello", local_name = "a", local_extra, extra, comment;
  uint16_t flags = 0, local_flags = 0, method = 0, local_method = 0;
  uint32_t crc = 0x3610a686, local_crc = 0x3610a686;  // of "hello"
  uint64_t size = 5, packed = 5, local_size = 5, local_packed = 5, offset = 0;
  std::string behind;  // a data descriptor, or anything else before the directory
  uint32_t central = 0x02014b50, local = 0x04034b50;
  uint64_t count = 1, here = 1, disks = 0;
  int64_t directory_shift = 0, size_shift = 0;
  bool wide = false;

  std::string file() const {
    std::string all = little(local, 4) + little(20, 2) + little(local_flags, 2) +
                      little(local_method, 2) + little(0, 4) + little(local_crc, 4) +
                      little(local_packed, 4) + little(local_size, 4) +
                      little(local_name.size(), 2) + little(local_extra.size(), 2) + local_name +
                      local_extra + bytes + behind;
    const uint64_t begin = all.size();
    all += little(central, 4) + little(20, 2) + little(20, 2) + little(flags, 2) +
           little(method, 2) + little(0, 4) + little(crc, 4) + little(packed, 4) + little(size, 4) +
           little(name.size(), 2) + little(extra.size(), 2) + little(0, 2) + little(0, 8) +
           little(offset, 4) + name + extra;
    const uint64_t at = begin + static_cast<uint64_t>(directory_shift);
    const uint64_t length = all.size() - begin + static_cast<uint64_t>(size_shift);
    if (wide) {
      const uint64_t end = all.size();
      all += little(0x06064b50, 4) + little(44, 8) + little(45, 2) + little(45, 2) +
             little(disks, 8) + little(here, 8) + little(count, 8) + little(length, 8) +
             little(at, 8) + little(0x07064b50, 4) + little(0, 4) + little(end, 8) + little(1, 4);
      return all + little(0x06054b50, 4) + little(0, 4) + little(0xffff, 2) + little(0xffff, 2) +
             little(0xffffffff, 4) + little(0xffffffff, 4) + little(comment.size(), 2) + comment;
    }
    return all + little(0x06054b50, 4) + little(disks, 4) + little(here, 2) + little(count, 2) +
           little(length, 4) + little(at, 4) + little(comment.size(), 2) + comment;
  }
};

std::string extra64(const std::vector<uint64_t>& numbers) {
  std::string text = little(1, 2) + little(8 * numbers.size(), 2);
  for (uint64_t number : numbers) text += little(number, 8);
  return text;
}

TEST(Zip, WritesAlignedEntriesAndReadsThemBack) {
  const std::vector<std::pair<std::string, std::string>> entries = {
      {"x/data.pkl", "pickle"}, {"x/data/0", std::string(1000, 'a')}, {"x/empty", ""}, {"y", "1"}};
  for (uint64_t alignment : {1, 8, 64, 4096}) {
    const auto file = zip_of(entries, alignment);
    const auto found = read_zip(file, "test.zip");
    ASSERT_EQ(found.size(), entries.size());
    for (const auto& [name, bytes] : entries) {
      const ZipEntry& entry = found.at(name);
      EXPECT_EQ(text_of(entry.bytes), bytes) << name;
      EXPECT_EQ(entry.crc, zip_crc(std::as_bytes(std::span(bytes)))) << name;
      EXPECT_EQ(static_cast<uint64_t>(entry.bytes.data() - file.data()) % alignment, 0u) << name;
      EXPECT_FALSE(entry.compressed);
    }
  }
  EXPECT_TRUE(read_zip(zip_of({}), "test.zip").empty());
}

// The sum of the ASCII digits, from the CRC's own specification.
TEST(Zip, ChecksumIsTheUsualOne) {
  const std::string digits = "123456789";
  EXPECT_EQ(zip_crc(std::as_bytes(std::span(digits))), 0xcbf43926u);
}

TEST(Zip, CountsBeyond16BitsUseZip64) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < 70000; ++i) entries.emplace_back(fmt::format("{}", i), "");
  const auto found = read_zip(zip_of(entries, 1), "test.zip");
  EXPECT_EQ(found.size(), entries.size());
}

TEST(Zip, ReadsWhatOtherWritersMake) {
  const auto check = [](const Crafted& crafted, const char* what) {
    const std::string file = crafted.file();
    const auto found = read(file);
    ASSERT_EQ(found.size(), 1u) << what;
    EXPECT_EQ(text_of(found.at("a").bytes), "hello") << what;
  };
  Crafted crafted;
  check(crafted, "plain");
  crafted.comment = "a comment with PK\5\6 in it";
  check(crafted, "comment");
  crafted.wide = true;
  check(crafted, "zip64 end record");
  crafted = {};
  crafted.flags = crafted.local_flags = 1 << 3;
  crafted.local_crc = 0;
  crafted.local_size = crafted.local_packed = 0;
  crafted.behind = little(0x08074b50, 4) + little(0x3610a686, 4) + little(5, 4) + little(5, 4);
  check(crafted, "data descriptor");
  crafted = {};
  crafted.size = crafted.packed = crafted.offset = 0xffffffff;
  crafted.extra = little(0x4246, 2) + little(2, 2) + "ZZ" + extra64({5, 5, 0});
  crafted.local_size = crafted.local_packed = 0xffffffff;
  crafted.local_extra = extra64({5, 5});
  check(crafted, "zip64 sizes");
}

TEST(Zip, RefusesLies) {
  const std::vector<std::pair<const char*, std::function<void(Crafted&)>>> lies = {
      {"encrypted", [](Crafted& c) { c.flags = c.local_flags = 1; }},
      {"flags differ", [](Crafted& c) { c.local_flags = 1 << 11; }},
      {"method differs", [](Crafted& c) { c.local_method = 8; }},
      {"name differs", [](Crafted& c) { c.local_name = "b"; }},
      {"name longer", [](Crafted& c) { c.local_name = "ab"; }},
      {"local size differs", [](Crafted& c) { c.local_size = c.local_packed = 4; }},
      {"local checksum differs", [](Crafted& c) { c.local_crc = 1; }},
      {"stored in two sizes", [](Crafted& c) { c.size = 6; }},
      {"size beyond the file",
       [](Crafted& c) { c.size = c.packed = c.local_size = c.local_packed = 5000; }},
      {"size 2^64 - 1",
       [](Crafted& c) {
         c.size = c.packed = c.local_size = c.local_packed = 0xffffffff;
         c.extra = c.local_extra = extra64({UINT64_MAX, UINT64_MAX});
       }},
      {"zip64 number missing",
       [](Crafted& c) {
         c.size = c.packed = 0xffffffff;
         c.extra = extra64({5});
       }},
      {"reaches into the directory",
       [](Crafted& c) { c.size = c.packed = c.local_size = c.local_packed = 6; }},
      {"offset beyond the file", [](Crafted& c) { c.offset = 100000; }},
      {"offset 2^64 - 1",
       [](Crafted& c) {
         c.offset = 0xffffffff;
         c.extra = extra64({UINT64_MAX});
       }},
      {"offset off by one", [](Crafted& c) { c.offset = 1; }},
      {"no local header", [](Crafted& c) { c.local = 0x04034b51; }},
      {"no directory record", [](Crafted& c) { c.central = 0; }},
      {"directory elsewhere", [](Crafted& c) { c.directory_shift = 1; }},
      {"directory before the file", [](Crafted& c) { c.directory_shift = -1000; }},
      {"directory too short", [](Crafted& c) { c.size_shift = -1; }},
      {"directory too long", [](Crafted& c) { c.size_shift = 100; }},
      {"more entries than there are", [](Crafted& c) { c.count = c.here = 2; }},
      {"several disks", [](Crafted& c) { c.disks = 1; }},
      {"entries on other disks", [](Crafted& c) { c.here = 0; }},
      {"extra field cut", [](Crafted& c) { c.extra = little(7, 2) + little(10, 2) + "x"; }},
  };
  for (const bool wide : {false, true})
    for (const auto& [what, lie] : lies) {
      Crafted crafted;
      crafted.wide = wide;
      ASSERT_EQ(read(crafted.file()).size(), 1u) << "the lies below differ from this";
      lie(crafted);
      EXPECT_THROW(read(crafted.file()), Error) << what << (wide ? ", zip64" : "");
    }
  Crafted crafted;
  crafted.wide = true;
  crafted.count = crafted.here = UINT64_MAX;
  EXPECT_THROW(read(crafted.file()), Error) << "the count must not be allocated";
}

TEST(Zip, SaysWhichEntriesAreCompressed) {
  Crafted crafted;
  crafted.method = crafted.local_method = 8;
  crafted.size = crafted.local_size = 5'000'000;  // a bomb, were it expanded
  const std::string file = crafted.file();
  EXPECT_TRUE(read(file).at("a").compressed);
  EXPECT_EQ(read(file).at("a").bytes.size(), 5u);
}

// Two records of the directory that share bytes, or a name.
TEST(Zip, RefusesEntriesThatOverlapOrRepeat) {
  EXPECT_THROW(read_zip(zip_of({{"a", "x"}, {"a", "y"}}), "test.zip"), Error);
  const std::string one = Crafted{}.file();
  const size_t directory = one.find("PK\1\2"), end = one.find("PK\5\6");
  const std::string record = one.substr(directory, end - directory);
  const std::string both = one.substr(0, directory) + record + record + little(0x06054b50, 4) +
                           little(0, 4) + little(2, 2) + little(2, 2) +
                           little(2 * record.size(), 4) + little(directory, 4) + little(0, 2);
  try {
    read(both);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("overlaps"));
    EXPECT_THAT(e.what(), HasSubstr("test.zip"));
  }
}

TEST(Zip, RefusesAFileThatIsCutAnywhere) {
  for (const bool wide : {false, true}) {
    Crafted crafted;
    crafted.wide = wide;
    const std::string file = crafted.file();
    for (size_t length = 0; length < file.size(); ++length)
      EXPECT_THROW(read(file.substr(0, length)), Error) << length;
  }
}

}  // namespace
}  // namespace nestvit
