// The fast forward, in model order. Shapes as in forward.cpp: B images, T blocks, N tokens per
// block, C channels, H heads, D = C/H; W is the width of queries, keys and values together, M the
// MLP's.
#include "runtime/forward.h"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "kernels/bf16.h"
#include "kernels/isa.h"
#include "kernels/reference.h"

namespace nestvit {
namespace {

constexpr auto kEps = static_cast<float>(kNormEps);
// Floats of a piece's hidden layer, its widest array: a block of nest_base's last level. A part of
// it fits a core's cache, and pieces of whole blocks, whose keys are prepared once, are worth more.
constexpr int64_t kPieceFloats = 400 * 1024;
constexpr int64_t kMostRows = 256;
// Groups of an image whose sums one thread makes: eight threads can share an image, and the rows
// that each reads are about a cache line wide.
constexpr int64_t kGroupsTogether = 4;

int64_t rows_of(const Level& level) { return int64_t{level.blocks} * level.tokens; }
int64_t most_rows(const PackedLevel& level) {  // of a piece
  return std::clamp<int64_t>(kPieceFloats / level.mlp, 4, kMostRows);
}

// Floats that an operation on a piece needs beside its input and output.
int64_t scratch_size(const PackedLevel& level, int64_t rows) {
  int64_t most = kernels::attend_scratch(level.attention);
  for (const PackedLayer& layer : level.layers)
    for (const Linear* linear : {&layer.qkv, &layer.proj, &layer.fc1, &layer.fc2})
      most = std::max(most, linear->scratch_size(rows));
  return most;
}

// y = x W^T + b, or with `add` y += that, of a piece's rows.
void product(const PackedLevel& level, const Linear& linear, const float* x, int64_t rows,
             float* memory, float* y, int64_t ldc, bool add = false) {
  if (level.use_strassen)
    linear.strassen(x, rows, memory, y, ldc, add);
  else
    linear(linear.prepare_rows(x, rows, memory), rows, y, ldc, add);
}

// Dynamic: a disturbed core takes fewer.
template <class Body>
void parallel_for(int64_t count, const Body& body) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace

Forward::Forward(const LoadedModel& model, int threads, NumberType precision)
    : config_(model.config),
      threads_(threads),
      model_(pack(model, precision)),
      kernels_(*kernels::inference_kernels().front()),
      attend_(precision != NumberType::kF32 && kernels::uses(kernels::Isa::kAvx512Bf16)
                  ? kernels::bf16_products().front()->attend
                  : kernels_.attend),
      sizes_(sizes()) {}

void Forward::operator()(const float* images, int64_t B, float* logits,
                         const std::vector<float*>& features, Profile* profile) {
  B_ = B;
  profile_ = profile;
  reserve();
  patch_embedding(images);  // [B, channels, S, S] -> x [B, T, N, C]
  for (const PackedLevel& level : model_.levels) {
    const int i = level.shape.index;
    if (i > 0) conv_pool(level, model_.levels[i - 1].shape);  // -> x [B, T/4, N, C']
    encode(level);
    if (!features.empty())
      std::copy_n(x_, B * rows_of(level.shape) * level.shape.width, features[i]);
  }
  head(model_.levels.back().shape, logits);  // x [B, 1, N, C] -> logits [B, K]
}

// body(row, rows) of the rows of a piece, those of a block, or of an image, of `size` at a time.
template <class Body>
void Forward::each_stretch(const Piece& piece, int64_t size, const Body& body) {
  const int64_t end = piece.first + piece.rows;
  for (int64_t row = piece.first, next = 0; row < end; row = next) {
    next = std::min(end, (row / size + 1) * size);
    body(row, next - row);
  }
}

template <class Body>
void Forward::timed(const Level& level, Part part, const Body& body) const {
  if (!profile_) return body();
  const auto start = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  profile_->add(omp_get_thread_num(), level.index, part, took.count());
}

void Forward::patch_embedding(const float* images) {
  const Level& level = model_.levels.front().shape;
  const int64_t e = config_.init_patch_embed_size, S = config_.image_size;
  const int64_t channels = config_.in_channels;
  const int64_t T = level.blocks, N = level.tokens, C = level.width;
  parallel_for(B_ * T, [&](int64_t i) {
    float* patches = scratch_of_thread();  // [N, channels * e * e]
    timed(level, Part::kEmbed, [&] {
      kernels::patchify(images + i / T * channels * S * S, channels, e, level.grid, level.edge,
                        i % T, patches);
      model_.patch_embedding(patches, N, x_ + i * N * C, C);
    });
  });
}

// x [b, T, N, C] -> row y of the plane with its border: the blocks beside each other.
void Forward::plane_row(const Level& level, int64_t b, int64_t y, float* row) const {
  const int64_t T = level.blocks, N = level.tokens, C = level.width, size = level.map();
  std::fill_n(row, (size + 2) * C, 0.0f);
  if (y < 0 || y >= size) return;
  for (int64_t g = 0; g < level.grid; ++g) {
    const int64_t t = y / level.edge * level.grid + g;
    std::copy_n(x_ + ((b * T + t) * N + y % level.edge * level.edge) * C, level.edge * C,
                row + (1 + g * level.edge) * C);
  }
}

// The 3x3 convolution on a plane with a border of zeros, layer norm row by row while it is hot,
// 3x3 max-pool of stride 2 into the next level's block order.
void Forward::conv_pool(const PackedLevel& level, const Level& below) {
  const int64_t size = below.map(), side = size + 2, C2 = level.shape.width;
  const Convolution& conv = *level.conv;
  const Level& to = level.shape;
  const int64_t in_row = side * conv.pixel_size(), together = conv.rows();
  // [B, side, side, C] as the convolution reads it, and [B, size, size, C']
  float *bordered = w_, *map = w_ + B_ * side * in_row;
  parallel_for(B_ * side, [&](int64_t i) {  // x [B, T, N, C] -> bordered
    timed(to, Part::kPlanes, [&] {
      float* place = bordered + i * in_row;
      float* row = conv.reads_f32() ? place : scratch_of_thread();
      plane_row(below, i / side, i % side - 1, row);
      conv.pixels(row, side, place);
    });
  });
  const PackedNorm& norm = *level.pool_norm;
  parallel_for(B_ * size / together, [&](int64_t i) {  // -> map, one or two rows at a time
    const int64_t y = i * together;
    float* rows = map + y * size * C2;
    timed(to, Part::kConv, [&] {
      conv(bordered + (y / size * side + y % size) * in_row, rows, scratch_of_thread());
    });
    timed(to, Part::kNorm, [&] {
      kernels_.layer_norm(rows, together * size, C2, norm.scale.data(), norm.shift.data(), kEps,
                          rows);
    });
  });
  const int64_t pad = config_.pool_padding == PoolPadding::kSame ? kernels::same_padding(size) : 1;
  parallel_for(B_ * to.blocks * to.edge, [&](int64_t i) {  // -> x [B, T/4, N, C'], a row of a block
    const int64_t t = i / to.edge, b = t / to.blocks, block = t % to.blocks;
    const int64_t oy = block / to.grid * to.edge + i % to.edge, ox = block % to.grid * to.edge;
    timed(to, Part::kPool, [&] {
      kernels_.max_pool(map + b * size * size * C2, size, C2, pad, oy, ox, to.edge,
                        x_ + i * to.edge * C2);
    });
  });
}

// Every layer: x += proj(attention(norm1(x))), then x += fc2(gelu(fc1(norm2(x)))). Between two
// barriers a piece reads the keys of its block, which others made, and writes its own of the next
// layer to the other half of w. Group norm needs all rows of an image: a barrier before each.
void Forward::encode(const PackedLevel& level) {
  const int64_t T = level.shape.blocks, N = level.shape.tokens, C = level.shape.width;
  const std::vector<Piece> all = pieces(level);
  const auto each_piece = [&](const auto& body) {
    parallel_for(static_cast<int64_t>(all.size()),
                 [&](int64_t i) { body(all[static_cast<size_t>(i)], scratch_of_thread()); });
  };
  const auto add_position = [&](const Piece& piece) {
    for (int64_t r = piece.first; r < piece.first + piece.rows; ++r)
      kernels::add(level.position.data() + r % (T * N) * C, C, x_ + r * C);
  };
  if (config_.norm_type == Norm::kGroup) {
    each_piece([&](const Piece& piece, float*) { add_position(piece); });
    for (const PackedLayer& layer : level.layers) {
      measure_groups(layer.norm1, level.shape);
      each_piece(
          [&](const Piece& piece, float* scratch) { queries(level, layer, piece, w_, scratch); });
      each_piece(
          [&](const Piece& piece, float* scratch) { attention(level, layer, piece, w_, scratch); });
      measure_groups(layer.norm2, level.shape);
      each_piece([&](const Piece& piece, float* scratch) { mlp(level, layer, piece, scratch); });
    }
    return;
  }
  float* halves[2] = {w_, w_ + B_ * T * N * level.attention.ld};
  each_piece([&](const Piece& piece, float* scratch) {
    add_position(piece);
    queries(level, level.layers.front(), piece, halves[0], scratch);
  });
  for (size_t j = 0; j < level.layers.size(); ++j)
    each_piece([&](const Piece& piece, float* scratch) {
      attention(level, level.layers[j], piece, halves[j % 2], scratch);
      mlp(level, level.layers[j], piece, scratch);
      if (j + 1 < level.layers.size())
        queries(level, level.layers[j + 1], piece, halves[(j + 1) % 2], scratch);
    });
}

// Group norm of x as an affine map of each image's channels. By one thread for each few groups, so
// that sums have one order, however many threads there are.
void Forward::measure_groups(const PackedNorm& norm, const Level& level) {
  constexpr int64_t kParts = kGroupNormGroups / kGroupsTogether;
  const int64_t rows = rows_of(level), C = level.width, width = C / kGroupNormGroups;
  const int64_t channels = width * kGroupsTogether;
  parallel_for(B_ * kParts, [&](int64_t i) {
    const int64_t b = i / kParts, first = i % kParts * channels;
    float* scale = g_ + b * 2 * C + first;
    timed(level, Part::kNorm, [&] {
      kernels::group_affine({.x = x_ + b * rows * C + first,
                             .rows = rows,
                             .ld = C,
                             .channels = channels,
                             .width = width,
                             .gamma = norm.scale.data() + first,
                             .beta = norm.shift.data() + first,
                             .eps = kEps},
                            reinterpret_cast<double*>(scratch_of_thread()), scale, scale + C);
    });
  });
}

// y [rows, C] <- norm(x) of a piece; group norm as measure_groups() left it.
void Forward::normalise(const PackedNorm& norm, const Level& level, const Piece& piece,
                        float* y) const {
  const int64_t C = level.width;
  const float *x = x_ + piece.first * C, *scale = norm.scale.data(), *shift = norm.shift.data();
  timed(level, Part::kNorm, [&] {
    switch (norm.kind) {
      case Norm::kLayer:  // each token by itself
        return kernels_.layer_norm(x, piece.rows, C, scale, shift, kEps, y);
      case Norm::kBatch:  // by running statistics
        return kernels::channel_affine(x, piece.rows, C, scale, shift, y);
      case Norm::kGroup:
        return each_stretch(piece, rows_of(level), [&](int64_t row, int64_t rows) {
          const float* affine = g_ + row / rows_of(level) * 2 * C;
          const int64_t at = (row - piece.first) * C;
          kernels::channel_affine(x + at, rows, C, affine, affine + C, y + at);
        });
    }
  });
}

// qkv [B, T, N, W] of a piece <- norm1(x) Wqkv + b
void Forward::queries(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                      float* qkv, float* scratch) const {
  const int64_t C = level.shape.width, W = level.attention.ld;
  float *normed = scratch, *memory = normed + piece.rows * C;
  normalise(layer.norm1, level.shape, piece, normed);
  timed(level.shape, Part::kQkv,
        [&] { product(level, layer.qkv, normed, piece.rows, memory, qkv + piece.first * W, W); });
}

void Forward::attention(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                        const float* qkv, float* scratch) const {
  const int64_t N = level.shape.tokens, C = level.shape.width, W = level.attention.ld;
  const int64_t keys = C, values = C + level.attention.kv_heads * level.shape.head_dim;
  float *mixed = scratch, *memory = mixed + piece.rows * C;
  timed(level.shape, Part::kAttention, [&] {
    each_stretch(piece, N, [&](int64_t row, int64_t rows) {
      const float* block = qkv + row / N * N * W;
      attend_(level.attention, qkv + row * W, rows, block + keys, block + values,
              mixed + (row - piece.first) * C, memory);
    });
  });
  timed(level.shape, Part::kProj, [&] {
    product(level, layer.proj, mixed, piece.rows, memory, x_ + piece.first * C, C, /*add=*/true);
  });
}

void Forward::mlp(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                  float* scratch) const {
  const int64_t C = level.shape.width, M = level.mlp, rows = piece.rows;
  float *x = x_ + piece.first * C, *normed = scratch, *hidden = normed + rows * C,
        *memory = hidden + rows * M;
  normalise(layer.norm2, level.shape, piece, normed);
  timed(level.shape, Part::kFc1,
        [&] { product(level, layer.fc1, normed, rows, memory, hidden, M); });
  const auto gelu = layer.fc2.precision() == NumberType::kF32 ? kernels_.gelu : kernels_.gelu_short;
  timed(level.shape, Part::kGelu, [&] { gelu(hidden, rows, M, config_.gelu == Gelu::kTanh); });
  timed(level.shape, Part::kFc2,
        [&] { product(level, layer.fc2, hidden, rows, memory, x, C, /*add=*/true); });
}

void Forward::head(const Level& level, float* logits) {
  const int64_t rows = rows_of(level), C = level.width;
  if (config_.norm_type == Norm::kGroup) measure_groups(model_.norm, level);
  parallel_for(B_, [&](int64_t b) {
    float *normed = scratch_of_thread(), *mean = normed + rows * C;
    normalise(model_.norm, level, {b * rows, rows}, normed);
    timed(level, Part::kHead, [&] {
      kernels::mean_rows(normed, rows, C, mean);
      model_.head(mean, 1, logits + b * config_.num_classes, config_.num_classes);
    });
  });
}

// About as many rows for each, a multiple of the threads. They are whole blocks where that gives
// each thread as many: a block's keys are then prepared once. Else they end where four rows do,
// which belong together (Linear::strassen), counted from the image's first.
std::vector<Forward::Piece> Forward::pieces(const PackedLevel& level) const {
  constexpr int64_t kFour = 4;
  const int64_t N = level.shape.tokens, image = rows_of(level.shape), blocks = B_ * image / N;
  const int64_t most = most_rows(level);
  const bool whole = N % kFour == 0 && N <= most && blocks % threads_ == 0;
  const int64_t unit = whole ? N : kFour;
  // Rows that are cut as one: of the whole batch, or of an image that does not end with four.
  const int64_t rows = image % kFour == 0 ? B_ * image : image, runs = B_ * image / rows;
  int64_t count = (rows + most / unit * unit - 1) / (most / unit * unit);
  while (runs * count % threads_ != 0) ++count;
  std::vector<Piece> all;
  for (int64_t start = 0; start < runs * rows; start += rows)
    for (int64_t i = 0, first = 0; i < count; ++i) {
      const int64_t end = i + 1 == count ? rows : rows * (i + 1) / count / unit * unit;
      if (end > first) all.push_back({start + first, end - first});
      first = std::max(first, end);
    }
  return all;
}

float* Forward::scratch_of_thread() const { return s_ + omp_get_thread_num() * sizes_.scratch; }

Forward::Sizes Forward::sizes() const {
  Sizes sizes{};
  const Level &first = model_.levels.front().shape, &last = model_.levels.back().shape;
  const int64_t e = config_.init_patch_embed_size;
  const int64_t patches = first.tokens * config_.in_channels * e * e;
  const int64_t head = (rows_of(last) + 1) * last.width;  // the normed rows and their mean
  sizes.scratch = std::max(patches, head);
  const Level* below = nullptr;
  for (const PackedLevel& level : model_.levels) {
    const int64_t rows = rows_of(level.shape), C = level.shape.width;
    sizes.stream = std::max(sizes.stream, rows * C);
    if (config_.norm_type == Norm::kGroup) sizes.groups = std::max(sizes.groups, 2 * C);
    // Queries, keys and values of a layer, and of the next.
    sizes.wide = std::max(sizes.wide, 2 * rows * level.attention.ld);
    if (below) {  // the plane of the level below with its border, and the convolution's output
      const int64_t side = below->map() + 2;
      sizes.wide = std::max(sizes.wide, side * side * below->width + rows_of(*below) * C);
      sizes.scratch = std::max({sizes.scratch, side * below->width, level.conv->scratch()});
    }
    // A piece's normed rows and hidden layer. Cut at fours, it may be a four longer.
    const int64_t piece = most_rows(level) + 4;
    sizes.scratch = std::max(sizes.scratch, piece * (C + level.mlp) + scratch_size(level, piece));
    below = &level.shape;
  }
  sizes.scratch = (sizes.scratch + 15) / 16 * 16;  // whole cache lines
  return sizes;
}

void Forward::reserve() {
  x_ = stream_.reserve(B_ * sizes_.stream);
  w_ = wide_.reserve(B_ * sizes_.wide);
  g_ = groups_.reserve(B_ * sizes_.groups);
  s_ = scratch_.reserve(threads_ * sizes_.scratch);
}

}  // namespace nestvit
