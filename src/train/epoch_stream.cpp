// The order of the samples, over epoch borders.
#include "train/epoch_stream.h"

#include <algorithm>

#include "data/loader.h"

namespace nestvit::train {

std::vector<int64_t> stream_order(int64_t images, uint64_t seed, int64_t first, int64_t count) {
  std::vector<int64_t> order;
  order.reserve(count);
  while (count > 0) {
    const int64_t epoch = first / images;
    const int64_t offset = first % images;
    const int64_t taken = std::min(count, images - offset);
    const std::vector<int64_t> shuffle = shuffled(images, seed, static_cast<uint64_t>(epoch));
    for (int64_t i = offset; i < offset + taken; ++i) order.push_back(epoch * images + shuffle[i]);
    first += taken;
    count -= taken;
  }
  return order;
}

}  // namespace nestvit::train
