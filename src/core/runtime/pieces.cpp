// Cuts the rows of a level.
#include "runtime/pieces.h"

namespace nestvit {
namespace {

// Floats of a piece's hidden layer, its widest array: a block of nest_base's last level. A part of
// it fits a core's cache, and pieces of whole blocks, whose keys are prepared once, are worth more.
constexpr int64_t kPieceFloats = 400 * 1024;
constexpr int64_t kMostRows = 256;
}  // namespace

int64_t rows_of(const Level& level) { return int64_t{level.blocks} * level.tokens; }

int64_t most_rows(const PackedLevel& level) {
  return std::clamp<int64_t>(kPieceFloats / level.mlp, 4, kMostRows);
}

void plane_row(const Level& level, const float* x, int64_t y, float* row) {
  const int64_t N = level.tokens, C = level.width, size = level.map();
  std::fill_n(row, (size + 2) * C, 0.0f);
  if (y < 0 || y >= size) return;
  for (int64_t g = 0; g < level.grid; ++g) {
    const int64_t t = y / level.edge * level.grid + g;
    const int64_t first = t * N + y % level.edge * level.edge;
    std::copy_n(x + first * C, level.edge * C, row + (1 + g * level.edge) * C);
  }
}

int64_t linear_scratch(const PackedLevel& level, int64_t rows) {
  int64_t most = 0;
  for (const PackedLayer& layer : level.layers)
    for (const Linear* linear : {&layer.qkv, &layer.proj, &layer.fc1, &layer.fc2})
      most = std::max(most, linear->scratch_size(rows));
  return most;
}

void apply(const Linear& linear, bool use_strassen, Linear::Call call, float* scratch) {
  if (use_strassen) return linear.strassen(call, scratch);
  call.x = linear.prepare_rows(call.x, call.m, scratch);
  linear(call);
}

std::vector<Piece> pieces(int64_t images, const Level& level, int64_t most, int threads) {
  constexpr int64_t kFour = 4;
  const int64_t N = level.tokens, image = int64_t{level.blocks} * N, all = images * image;
  const bool whole_blocks = N % kFour == 0 && N <= most && images * level.blocks % threads == 0;
  const int64_t unit = whole_blocks ? N : kFour;
  // A run is cut by itself: the whole batch, or each image where it does not end with a four.
  const int64_t run = image % kFour == 0 ? all : image;
  const int64_t longest = most / unit * unit;
  int64_t per_run = (run + longest - 1) / longest;
  while (all / run * per_run % threads != 0) ++per_run;
  std::vector<Piece> result;
  for (int64_t start = 0; start < all; start += run)
    for (int64_t i = 0, first = 0; i < per_run; ++i) {
      const int64_t end = i + 1 == per_run ? run : run * (i + 1) / per_run / unit * unit;
      if (end > first) result.push_back({start + first, end - first});
      first = std::max(first, end);
    }
  return result;
}

}  // namespace nestvit
