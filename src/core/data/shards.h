// Work on the files of a dataset, side by side.
#pragma once

#include <cstddef>
#include <functional>

namespace nestvit {

// work(i) for each i below `count`, in several threads: they wait for the disk more than they
// compute. Rethrows the first failure (of the lowest i) after all have ended; none begins after
// one.
void each_shard(size_t count, const std::function<void(size_t)>& work);

}  // namespace nestvit
