// Scratch memory of a forward.
#pragma once

#include <cstdint>
#include <memory>

namespace nestvit {

// Floats at a cache line's border, uninitialised; only ever grows.
class Buffer {
 public:
  // Makes room for `count` floats; the old content is lost when it grows. Throws Error when there
  // is no memory.
  float* reserve(int64_t count);
  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float[], Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace nestvit
