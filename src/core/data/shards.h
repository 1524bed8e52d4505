// What the datasets have in common that lie in a few large files, each mapped: "shards".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace nestvit {

// work(i) for each i below `count`, in several threads: they wait for the disk more than they
// compute. Rethrows the first failure (of the lowest i) after all have ended; none begins after
// one.
void each_shard(size_t count, const std::function<void(size_t)>& work);

// A pass over a mapped file that jumps from header to header: nothing is read ahead, and what it
// touched does not stay in memory.
void in_jumps(std::span<const std::byte> file, const std::function<void()>& pass);

// The shard that holds sample `index` of `size`; a Shard has `first`, the index of its first
// sample.
template <class Shard>
const Shard& shard_of(const std::vector<Shard>& shards, int64_t index, int64_t size) {
  if (index < 0 || index >= size) throw std::out_of_range("sample " + std::to_string(index));
  const auto after =
      std::upper_bound(shards.begin(), shards.end(), index,
                       [](int64_t i, const Shard& shard) { return i < shard.first; });
  return *std::prev(after);
}

}  // namespace nestvit
