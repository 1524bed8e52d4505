// The norms of an encoder layer, forward and backward, on pieces of the residual stream.
#pragma once

#include <cstdint>

#include "runtime/pieces.h"

namespace nestvit::norms {

constexpr auto kEps = static_cast<float>(kNormEps);

// The residual stream of a level, [B, T, N, C], or a gradient of that shape.
struct Rows {
  const float* data;
  int64_t image;  // rows of an image, T * N
  int64_t C;
};

// y [rows, C] <- norm(x) of a piece. `groups` [B, 2, C] comes from measure_share(), for group norm.
void normalise(const PackedNorm& norm, const Rows& x, const Piece& piece, const float* groups,
               float* y);

// Group norm of x as an affine map of each image's channels, groups [B, 2, C]. One call adds up all
// rows of a share of an image's groups, so that the order of the sums does not depend on the number
// of threads; share i, of B * kShares, belongs to image i / kShares. `scratch` has
// share_scratch(C) floats.
constexpr int64_t kShares = 8;
int64_t share_scratch(int64_t C);
void measure_share(const PackedNorm& norm, const Rows& x, int64_t i, float* scratch, float* groups);

// d [rows, C] += the gradient of x from dy [rows, C], the gradient of norm(x), on a piece of one
// x. `constant`: the deviation counts as a constant. `groups` [B, 4, C] comes from
// measure_backward(), for group norm. `scratch` has 2 * C floats.
struct Backward {
  const PackedNorm& norm;
  bool constant;
  Rows x;
  const float* groups;
};
void add_backward(const Backward& norm, const Piece& piece, const float* dy, float* scratch,
                  float* d);
// As measure_share(), for dy, the gradient of norm(x): -> groups [B, 4, C]. `scratch` has
// 2 * share_scratch(C) floats.
void measure_backward(const Backward& norm, const Rows& dy, int64_t i, float* scratch,
                      float* groups);

}  // namespace nestvit::norms
