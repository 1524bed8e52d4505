// ConvPool's 3 x 3 convolution.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/packed/linear.h"

namespace nestvit {

// A convolution of stride 1 over a plane [size + 2, size + 2, C] with a border of zeros. Where the
// size is even and the channels fill registers, it is Winograd's F(2 x 2, 3 x 3): 16 products
// instead of 36, with about twice the rounding of a sum of nine taps, in bf16 and int8 too.
// Otherwise it is a product of nine taps that reads the plane in place.
class Convolution {
 public:
  // weight [C', C, 3, 3]
  Convolution(std::span<const float> weight, std::span<const float> bias, int64_t out, int64_t size,
              NumberType precision);

  // Pixels x [count, C] of the plane as operator() reads them: x itself, or x rounded into
  // `scratch`, which has room for count * prepared_pixel_size() floats.
  const float* prepare_pixels(const float* x, int64_t count, float* scratch) const;
  int64_t prepared_pixel_size() const;
  bool reads_f32() const { return taps_.empty() || taps_[0].precision() == NumberType::kF32; }

  // Rows of the output that one call makes; divides the size.
  int64_t rows_per_call() const { return taps_.empty() ? 2 : 1; }
  // y [rows_per_call(), size, C'] from the prepared rows of the plane that begin at `plane`, with
  // scratch_size() floats of scratch.
  void operator()(const float* plane, float* y, float* scratch) const;
  int64_t scratch_size() const;

 private:
  int64_t in_, out_, size_;
  std::vector<Linear> taps_;      // one, or none
  std::vector<Linear> products_;  // 16 of Winograd's, or none
  std::vector<float> bias_;
};

}  // namespace nestvit
