// The matrix products of a fused layer, each on one thread: f32 by libtorch's BLAS, bf16 by
// kernels/bf16.h. Free of libtorch.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"

namespace nestvit::train {

// c = a b, or with `add` c += a b; a is [m, k], b [k, n] and c [m, n], all row-major and dense.
struct Product {
  kernels::Operand a, b;
  // b in bf16 as pack_right() leaves it, for a weight that is in many products; else null.
  const uint32_t* packed_b = nullptr;
  int64_t m, n, k;
  float* c;
  bool add = false;
};

// `scratch` has room for product_scratch() floats; f32 needs none.
void multiply(const Product& product, bool bf16, float* scratch);

// For every product of a piece of `rows` rows: with a packed weight, or of two arrays of its rows
// over which it sums. No array is wider than `widest`.
int64_t product_scratch(int64_t rows, int64_t widest, bool bf16);

}  // namespace nestvit::train
