// Layer norm by the kernels, batch norm and group norm as affine maps.
#include "runtime/norms.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/portable.h"

namespace nestvit::norms {
namespace {

static_assert(kGroupNormGroups % kShares == 0);
// Groups whose sums one thread makes at a time: eight threads can share an image, and the part of a
// row that each reads is about a cache line.
constexpr int64_t kGroupsTogether = kGroupNormGroups / kShares;

// The channels of share i of group norm, of its image.
kernels::GroupNorm share_of(const PackedNorm& norm, const Rows& x, int64_t i) {
  const int64_t width = x.C / kGroupNormGroups, channels = width * kGroupsTogether;
  const int64_t first = i % kShares * channels;
  return {.x = x.data + i / kShares * x.image * x.C + first,
          .rows = x.image,
          .ld = x.C,
          .channels = channels,
          .width = width,
          .gamma = norm.scale.data() + first,
          .beta = norm.shift.data() + first,
          .eps = kEps};
}

}  // namespace

void normalise(const PackedNorm& norm, const Rows& x, const Piece& piece, const float* groups,
               float* y) {
  const int64_t C = x.C;
  const float* rows = x.data + piece.first * C;
  const float *scale = norm.scale.data(), *shift = norm.shift.data();
  switch (norm.kind) {
    case Norm::kLayer:  // by the values of each token
      return kernels::inference_kernels().front()->layer_norm(rows, piece.rows, C, scale, shift,
                                                              kEps, y);
    case Norm::kBatch:  // by running statistics
      return kernels::channel_affine(rows, piece.rows, C, scale, shift, y);
    case Norm::kGroup:  // by the values of each image
      return each_part(piece, x.image, [&](int64_t row, int64_t count) {
        const float* affine = groups + row / x.image * 2 * C;
        const int64_t at = (row - piece.first) * C;
        kernels::channel_affine(rows + at, count, C, affine, affine + C, y + at);
      });
  }
}

int64_t share_scratch(int64_t C) { return 4 * C / kShares; }  // two doubles for each channel

void measure_share(const PackedNorm& norm, const Rows& x, int64_t i, float* scratch,
                   float* groups) {
  const kernels::GroupNorm share = share_of(norm, x, i);
  float* scale = groups + i / kShares * 2 * x.C + i % kShares * share.channels;
  kernels::group_affine(share, reinterpret_cast<double*>(scratch), scale, scale + x.C);
}

void add_backward(const Backward& norm, const Piece& piece, const float* dy, float* scratch,
                  float* d) {
  const int64_t C = norm.x.C, at = piece.first * C;
  const float *x = norm.x.data + at, *scale = norm.norm.scale.data();
  switch (norm.norm.kind) {
    case Norm::kLayer:
      if (norm.constant) return kernels::centred_backward(x, dy, piece.rows, C, scale, kEps, d);
      std::fill_n(scratch, 2 * C, 0.0f);  // gradients of gamma and beta, which nobody reads
      return kernels::training_kernels().front()->layer_norm_backward(
          x, dy, d, piece.rows, C, scale, kEps, d, scratch, scratch + C);
    case Norm::kBatch:
      return kernels::add_scaled(dy, piece.rows, C, scale, d);
    case Norm::kGroup:
      return each_part(piece, norm.x.image, [&](int64_t row, int64_t count) {
        const int64_t from = (row - piece.first) * C;
        kernels::add_group_backward(x + from, dy + from, count, C,
                                    norm.groups + row / norm.x.image * 4 * C, C, d + from);
      });
  }
}

void measure_backward(const Backward& norm, const Rows& dy, int64_t i, float* scratch,
                      float* groups) {
  const kernels::GroupNorm share = share_of(norm.norm, norm.x, i);
  kernels::group_backward(share, dy.data + (share.x - norm.x.data), norm.constant,
                          reinterpret_cast<double*>(scratch),
                          groups + i / kShares * 4 * dy.C + i % kShares * share.channels, dy.C);
}

}  // namespace nestvit::norms
