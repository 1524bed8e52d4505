// The hash of content: known values, every length, every bit.
#include "data/check/content_hash.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace nestvit {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string hex(const ContentHash& hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.low),
                static_cast<unsigned long long>(hash.high));
  return text;
}

// Values that MurmurHash3_x64_128 is known by.
TEST(ContentHash, IsMurmur3) {
  EXPECT_EQ(hex(content_hash({})), "00000000000000000000000000000000");
  EXPECT_EQ(hex(content_hash(bytes_of("hello"))), "cbd8a7b341bd9b025b1e906a48ae1d19");
  EXPECT_EQ(hex(content_hash(bytes_of("The quick brown fox jumps over the lazy dog"))),
            "e34bbc7bbc071b6c7a433ca9c49a9347");
}

TEST(ContentHash, EveryLengthBitAndSeedCounts) {
  std::set<ContentHash> seen;
  std::string text;
  for (int length = 0; length < 40; ++length, text += 'a')
    seen.insert(content_hash(bytes_of(text)));
  EXPECT_EQ(seen.size(), 40u);
  const std::string whole(37, '\x55');  // two blocks and a tail
  std::set<ContentHash> changed = {content_hash(bytes_of(whole))};
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string other = whole;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ 1 << bit % 8);
    changed.insert(content_hash(bytes_of(other)));
  }
  EXPECT_EQ(changed.size(), 1 + 8 * whole.size());
  EXPECT_NE(content_hash(bytes_of(whole), 1), content_hash(bytes_of(whole), 2));
}

}  // namespace
}  // namespace nestvit
