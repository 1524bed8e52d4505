// The two resizes of position embeddings, each in the arithmetic of its original.
#include "weights/posembed.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace nestvit {
namespace {

// A gigabyte of floats: far above any NesT (an image of 4096 pixels makes 200 MB), and below what
// would bring a machine down.
constexpr int64_t kMostValues = int64_t{1} << 28;
constexpr int64_t kMostEdge = 1 << 15;

// The edge of a square of `count`; 0 when `count` is not a square number.
int64_t edge_of(int64_t count) {
  if (count < 1 || count > kMostEdge * kMostEdge) return 0;
  const int64_t edge = std::llround(std::sqrt(static_cast<double>(count)));
  return edge * edge == count ? edge : 0;
}

// A value of the result along one axis: up to four neighbours with their weights.
template <class Real>
struct Tap {
  std::array<int64_t, 4> at;
  std::array<Real, 4> weight;
};

// scipy.ndimage.zoom of order 1: both corners stay where they are.
std::vector<Tap<double>> aligned_linear(int64_t from, int64_t to) {
  std::vector<Tap<double>> taps;
  const double scale = to > 1 ? static_cast<double>(from - 1) / static_cast<double>(to - 1) : 0;
  for (int64_t o = 0; o < to; ++o) {
    const double x = static_cast<double>(o) * scale;
    const int64_t low = std::min(static_cast<int64_t>(x), from - 1);
    const double share = x - static_cast<double>(low);
    taps.push_back({{low, std::min(low + 1, from - 1), low, low}, {1 - share, share, 0, 0}});
  }
  return taps;
}

// torch's bicubic: a = -0.75, half-pixel centres, no antialias, the border repeated; in float32.
std::vector<Tap<float>> half_pixel_cubic(int64_t from, int64_t to) {
  constexpr float a = -0.75f;
  const auto near = [](float x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](float x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  std::vector<Tap<float>> taps;
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  for (int64_t o = 0; o < to; ++o) {
    const float x = scale * (static_cast<float>(o) + 0.5f) - 0.5f;
    const float low = std::floor(x), t = x - low;
    Tap<float> tap{{}, {far(t + 1), near(t), near(1 - t), far(2 - t)}};
    for (int64_t k = 0; k < 4; ++k)
      tap.at[k] = std::clamp<int64_t>(static_cast<int64_t>(low) - 1 + k, 0, from - 1);
    taps.push_back(tap);
  }
  return taps;
}

// Rows and columns of tokens of C values, and where a token lies in memory.
struct Plane {
  int64_t grid, edge, width;  // blocks per side, tokens per side of a block, C
  int64_t side() const { return grid * edge; }
  int64_t at(int64_t y, int64_t x) const {  // [T, N, C]
    const int64_t block = y / edge * grid + x / edge, token = y % edge * edge + x % edge;
    return (block * edge * edge + token) * width;
  }
};

template <class Real>
void resize(const Plane& from, const float* source, const Plane& to,
            const std::vector<Tap<Real>>& taps, float* target) {
  for (int64_t y = 0; y < to.side(); ++y)
    for (int64_t x = 0; x < to.side(); ++x) {
      const Tap<Real>&rows = taps[y], &columns = taps[x];
      std::array<std::array<const float*, 4>, 4> token;
      for (size_t i = 0; i < 4; ++i)
        for (size_t j = 0; j < 4; ++j) token[i][j] = source + from.at(rows.at[i], columns.at[j]);
      float* out = target + to.at(y, x);
      for (int64_t c = 0; c < to.width; ++c) {
        Real sum = 0;
        for (size_t i = 0; i < 4; ++i) {
          Real row = 0;
          for (size_t j = 0; j < 4; ++j)
            row += columns.weight[j] * static_cast<Real>(token[i][j][c]);
          sum += rows.weight[i] * row;
        }
        out[c] = static_cast<float>(sum);
      }
    }
}

[[noreturn]] void refuse(const Tensor& embedding, int64_t blocks, int64_t tokens,
                         const std::string& why, const std::string& hint) {
  throw Error(fmt::format("a position embedding of {} cannot become {} blocks of {} tokens: {}",
                          shape_text(embedding.shape()), blocks, tokens, why),
              hint);
}

}  // namespace

Tensor resize_pos_embed(const Tensor& embedding, int64_t blocks, int64_t tokens,
                        PosEmbedResize mode) {
  const std::vector<int64_t>& shape = embedding.shape();
  if (shape.size() != 4 || shape[0] != 1 || !element_count(shape) || embedding.size() < 1)
    refuse(embedding, blocks, tokens, "it is not [1, blocks, tokens, channels]", "");
  const int64_t width = shape[3];
  const auto size = element_count({blocks, tokens, width});
  if (blocks < 1 || tokens < 1 || !size || *size > kMostValues)
    refuse(embedding, blocks, tokens, "no table has that size", "");
  if (shape[1] == blocks && shape[2] == tokens) return embedding;

  if (mode == PosEmbedResize::kAuto)
    mode = shape[1] == blocks ? PosEmbedResize::kBlock : PosEmbedResize::kImage;
  const int64_t from_edge = edge_of(shape[2]), to_edge = edge_of(tokens);
  if (from_edge == 0 || to_edge == 0)
    refuse(embedding, blocks, tokens, "a block is not a square", "");
  const std::vector<float> source = embedding.to_f32();
  std::vector<float> target(static_cast<size_t>(*size));

  if (mode == PosEmbedResize::kBlock) {
    if (shape[1] != blocks)
      refuse(embedding, blocks, tokens, "mode block resizes within a block and keeps their number",
             "use mode image, or an image size that keeps the number of blocks");
    const auto taps = aligned_linear(from_edge, to_edge);
    for (int64_t block = 0; block < blocks; ++block)
      resize({1, from_edge, width}, source.data() + block * shape[2] * width, {1, to_edge, width},
             taps, target.data() + block * tokens * width);
  } else {
    const int64_t from_grid = edge_of(shape[1]), to_grid = edge_of(blocks);
    if (from_grid == 0 || to_grid == 0)
      refuse(embedding, blocks, tokens, "the blocks do not make a square plane", "");
    const Plane from{from_grid, from_edge, width}, to{to_grid, to_edge, width};
    resize(from, source.data(), to, half_pixel_cubic(from.side(), to.side()), target.data());
  }
  return Tensor::f32({1, blocks, tokens, width}, std::move(target));
}

}  // namespace nestvit
