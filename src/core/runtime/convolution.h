// ConvPool's 3 x 3 convolution in the fast forward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/linear.h"

namespace nestvit {

// A convolution of stride 1 over a plane [size + 2, size + 2, C] with a border of zeros. Where the
// size is even and the channels fill registers, by Winograd's F(2 x 2, 3 x 3): 16 products for 36,
// and about twice the rounding of a sum of nine taps, also where operands are rounded to bf16 or
// int8; otherwise as a product of nine taps that reads the plane in place.
class Convolution {
 public:
  // weight [C', C, 3, 3]
  Convolution(std::span<const float> weight, std::span<const float> bias, int64_t out, int64_t size,
              NumberType precision);

  // Rows of the plane as operator() reads them: x [count, C] itself, or rounded into `memory`.
  const float* pixels(const float* x, int64_t count, float* memory) const;
  bool reads_f32() const { return taps_.empty() || taps_[0].precision() == NumberType::kF32; }
  int64_t pixel_size() const;  // floats of a pixel, as pixels() leaves it

  // How many rows of the output belong together; divides the size.
  int64_t rows() const { return taps_.empty() ? 2 : 1; }
  int64_t scratch() const;  // floats
  // The rows of the output [rows(), size, C'] that begin at the plane's row `plane`.
  void operator()(const float* plane, float* y, float* scratch) const;

 private:
  int64_t in_, out_, size_;
  std::vector<Linear> taps_;      // one, or none
  std::vector<Linear> products_;  // 16 of Winograd's, or none
  std::vector<float> bias_;
};

}  // namespace nestvit
