// MurmurHash3_x64_128, block by block and then the tail.
#include "data/check/content_hash.h"

#include <bit>

namespace nestvit {
namespace {

constexpr uint64_t kFirst = 0x87c37b91114253d5, kSecond = 0x4cf5ad432745937f;

// `count` bytes, at most 8, as a little-endian number.
uint64_t little(const std::byte* at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= static_cast<uint64_t>(at[i]) << (8 * i);
  return value;
}

uint64_t scrambled_low(uint64_t word) { return std::rotl(word * kFirst, 31) * kSecond; }
uint64_t scrambled_high(uint64_t word) { return std::rotl(word * kSecond, 33) * kFirst; }

uint64_t avalanche(uint64_t h) {
  h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
  return h ^ h >> 33;
}

}  // namespace

ContentHash content_hash(std::span<const std::byte> bytes, uint32_t seed) {
  uint64_t low = seed, high = seed;
  const std::byte* at = bytes.data();
  for (size_t block = 0; block < bytes.size() / 16; ++block, at += 16) {
    low = std::rotl(low ^ scrambled_low(little(at, 8)), 27) + high;
    low = low * 5 + 0x52dce729;
    high = std::rotl(high ^ scrambled_high(little(at + 8, 8)), 31) + low;
    high = high * 5 + 0x38495ab5;
  }
  const size_t tail = bytes.size() % 16;
  if (tail > 8) high ^= scrambled_high(little(at + 8, tail - 8));
  if (tail > 0) low ^= scrambled_low(little(at, tail < 8 ? tail : 8));
  low ^= bytes.size();
  high ^= bytes.size();
  low += high;
  high += low;
  low = avalanche(low);
  high = avalanche(high);
  low += high;
  high += low;
  return {low, high};
}

}  // namespace nestvit
