// A 128-bit hash of content, to find equal files among millions. It does not resist adversaries:
// two pictures that were made to collide count as duplicates.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nestvit {

struct ContentHash {
  uint64_t low = 0, high = 0;
  auto operator<=>(const ContentHash&) const = default;
};

// MurmurHash3_x64_128 (Austin Appleby, public domain), little endian.
ContentHash content_hash(std::span<const std::byte> bytes, uint32_t seed = 0);

}  // namespace nestvit
