// Aligned allocation.
#include "runtime/buffer.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cstdlib>

namespace nestvit {

void Buffer::Free::operator()(float* p) const { std::free(p); }

float* Buffer::reserve(int64_t count) {
  constexpr int64_t kLine = 16;  // floats in a cache line of 64 bytes
  if (count > capacity_) {
    const int64_t rounded = (count + kLine - 1) / kLine * kLine;
    // In this order: a process may be forked at any moment, and its child reserves again.
    capacity_ = 0;
    data_.reset();
    data_.reset(
        static_cast<float*>(std::aligned_alloc(kLine * sizeof(float), rounded * sizeof(float))));
    if (!data_)
      throw Error(fmt::format("no memory for a buffer of {} MB", rounded * 4 / 1000000),
                  "use a smaller model or image, or fewer threads");
    capacity_ = rounded;
  }
  return data_.get();
}

}  // namespace nestvit
