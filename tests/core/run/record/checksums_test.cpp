// checksums.json: damage is named, and no entry leads out of the folder.
#include "run/record/checksums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string damage_of(const fs::path& folder) {
  try {
    verify_checksums(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Checksums, DamageIsNamed) {
  const testing::TempDir temporary;
  const fs::path& folder = temporary.path();
  write_file(folder / "a", "first");
  write_file(folder / "b", "second");
  write_checksums(folder);
  EXPECT_EQ(damage_of(folder), "none");
  write_file(folder / "b", "sec0nd");
  EXPECT_THAT(damage_of(folder), HasSubstr("b is not what was written"));
  write_file(folder / "b", "secon");
  EXPECT_THAT(damage_of(folder), HasSubstr("b has 5 bytes"));
  fs::remove(folder / "b");
  EXPECT_THAT(damage_of(folder), HasSubstr("b is missing"));
}

// CRC-32C of "123456789" is e3069283 (RFC 3720, B.4, and every catalogue of CRCs).
TEST(Checksums, SumsAreCrc32c) {
  const testing::TempDir temporary;
  write_file(temporary.path() / "digits", "123456789");
  write_file(temporary.path() / "checksums.json",
             R"({"digits": {"bytes": 9, "crc32c": "e3069283"}})");
  EXPECT_EQ(damage_of(temporary.path()), "none");
}

TEST(Checksums, HostileListIsAnError) {
  EXPECT_EQ(parse_checksums(R"({"a": {"bytes": 1, "crc32c": "0"}})", "x").size(), 1U);
  for (const char* text :
       {"", "[]", "null", "{\"a\"", R"({"a": 3})", R"({"a": {"bytes": 1}})",
        R"({"a": {"bytes": -1, "crc32c": "0"}})", R"({"a": {"bytes": 1e300, "crc32c": "0"}})",
        R"({"a": {"bytes": 1, "crc32c": 0}})", R"({"": {"bytes": 1, "crc32c": "0"}})",
        R"({"..": {"bytes": 1, "crc32c": "0"}})", R"({"../a": {"bytes": 1, "crc32c": "0"}})",
        R"({"/etc/passwd": {"bytes": 1, "crc32c": "0"}})"})
    EXPECT_THROW(parse_checksums(text, "checksums.json"), Error) << text;
}

}  // namespace
}  // namespace nestvit
