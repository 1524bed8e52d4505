// The matrix products of a fused layer, each on one thread: f32 by libtorch's BLAS, bf16 by
// kernels/bf16.h. Free of libtorch.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace nestvit::train {

using kernels::Operand;

// The right side of a product. A weight is in many products: it brings its packed form.
struct RightOperand {
  Operand operand;
  const uint32_t* packed = nullptr;
};

struct ProductSize {
  int64_t m, n, k;
};

struct Destination {
  float* c;          // [m, n]
  bool add = false;  // to what c holds
};

class Products {
 public:
  explicit Products(bool bf16) : bf16_(bf16) {}

  // c = a b, of a [m, k] and b [k, n], row-major and dense.
  void operator()(Operand a, const RightOperand& b, const ProductSize& size,
                  const Destination& result, float* scratch) const;
  // Floats of it that a piece of `rows` needs, where no other size is above `wide`. Weights on the
  // right come packed.
  int64_t scratch(int64_t rows, int64_t wide) const;

 private:
  bool bf16_;
};

}  // namespace nestvit::train
