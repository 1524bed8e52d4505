// CRC-32C: the vectors of RFC 3720, and a bit-by-bit reference.
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nestvit {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  std::vector<std::byte> bytes;
  for (char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

uint32_t bit_by_bit(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffff;
  for (std::byte b : bytes) {
    crc ^= static_cast<uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return crc ^ 0xffffffff;
}

TEST(Crc32c, VectorsOfRfc3720) {
  std::string up, down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(crc32c(bytes_of(up)), 0x46dd794eu);
  EXPECT_EQ(crc32c(bytes_of(down)), 0x113fdb5cu);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, EveryLengthAndAlignment) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < 80; ++i) bytes.push_back(static_cast<std::byte>(i * 151 + 7));
  for (size_t begin = 0; begin < 9; ++begin)
    for (size_t size = 0; begin + size <= bytes.size(); ++size) {
      const auto part = std::span(bytes).subspan(begin, size);
      EXPECT_EQ(crc32c(part), bit_by_bit(part)) << begin << " " << size;
    }
}

// TensorFlow's masking: rotate right by 15, add the constant (lib/hash/crc32c.h).
TEST(Crc32c, Masked) {
  const auto nine = bytes_of("123456789");
  const uint64_t crc = 0xe3069283;
  const uint64_t rotated = (crc >> 15 | crc << 17) & 0xffffffff;
  EXPECT_EQ(masked_crc32c(nine), (rotated + 0xa282ead8) & 0xffffffff);
  EXPECT_EQ(masked_crc32c({}), 0xa282ead8u);
}

}  // namespace
}  // namespace nestvit
