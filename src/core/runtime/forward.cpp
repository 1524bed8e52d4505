// The forward, in model order: to be read from top to bottom beside the paper (section 3) or
// reference.md A.
//
// Shapes: B images, T blocks, N tokens per block, C channels, H heads, D = C/H; W is the width of
// queries, keys and values together, M the MLP's. Between the steps activations are rows of C
// channels in block order, [B, T, N, C]: attention never looks beyond its block, and linear layers
// and norms do not care, so only ConvPool puts the plane together again.
#include "runtime/forward.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "kernels/dispatch.h"
#include "kernels/isa.h"
#include "kernels/portable.h"
#include "runtime/norms.h"

namespace nestvit {
namespace {

// Floats that an operation on `rows` rows needs beside its input and output.
int64_t scratch_size(const PackedLevel& level, int64_t rows) {
  return std::max(kernels::attend_scratch(level.attention), linear_scratch(level, rows));
}

}  // namespace

Forward::Forward(const LoadedModel& model, int threads, NumberType precision)
    : config_(model.config),
      threads_(threads),
      model_(pack(model, precision)),
      kernels_(*kernels::inference_kernels().front()),
      attend_(precision != NumberType::kF32 && kernels::uses(kernels::Isa::kAvx512Bf16)
                  ? kernels::bf16_kernels().front()->attend
                  : kernels_.attend),
      sizes_(sizes()) {}

void Forward::operator()(const float* images, int64_t B, float* logits,
                         const std::vector<float*>& features, Profile* profile,
                         const std::vector<LevelTrace>& trace) {
  B_ = B;
  profile_ = profile;
  trace_ = trace.empty() ? nullptr : &trace;
  reserve();
  patch_embedding(images);  // [B, channels, S, S] -> x [B, T, N, C]
  for (const PackedLevel& level : model_.levels) {
    const int i = level.shape.index;
    if (i > 0) conv_pool(level, model_.levels[i - 1].shape);  // -> x [B, T/4, N, C']
    encode(level);                                            // x, in place
    if (!features.empty())
      std::copy_n(residual_.data(), B * rows_of(level.shape) * level.shape.width, features[i]);
  }
  head(model_.levels.back().shape, logits);  // x [B, 1, N, C] -> logits [B, K]
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
      model_.patch_embedding({.x = patches, .m = N, .y = residual_.data() + i * N * C, .ldy = C});
    });
  });
}

// The 3x3 convolution on a plane with a border of zeros, layer norm row by row while it is hot.
// x [B, T, N, C] -> [B, size, size, C']
float* Forward::convolve(const PackedLevel& level, const Level& below, const float* x,
                         float* convolved) {
  const int64_t size = below.map(), side = size + 2, C2 = level.shape.width;
  const Convolution& conv = *level.conv;
  const Level& to = level.shape;
  const int64_t in_row = side * conv.prepared_pixel_size(), together = conv.rows_per_call();
  // [B, side, side, C] as the convolution reads it, and [B, size, size, C']
  float *bordered = wide_.data(), *map = bordered + B_ * side * in_row;
  parallel_for(B_ * side, [&](int64_t i) {  // x [B, T, N, C] -> bordered
    timed(to, Part::kPlanes, [&] {
      float* place = bordered + i * in_row;
      float* row = conv.reads_f32() ? place : scratch_of_thread();
      plane_row(below, x + i / side * rows_of(below) * below.width, i % side - 1, row);
      conv.prepare_pixels(row, side, place);
    });
  });
  const PackedNorm& norm = *level.pool_norm;
  parallel_for(B_ * size / together, [&](int64_t i) {  // -> map, one or two rows at a time
    const int64_t y = i * together;
    float *rows = map + y * size * C2, *made = convolved ? convolved + y * size * C2 : rows;
    timed(to, Part::kConv, [&] {
      conv(bordered + (y / size * side + y % size) * in_row, made, scratch_of_thread());
    });
    timed(to, Part::kNorm, [&] {
      kernels_.layer_norm(made, together * size, C2, norm.scale.data(), norm.shift.data(),
                          norms::kEps, rows);
    });
  });
  return map;
}

const float* Forward::aggregate(int level, const float* x, float* convolved) {
  return convolve(model_.levels[level], model_.levels[level - 1].shape, x, convolved);
}

// 3x3 max-pool of stride 2 of the convolved plane into the next level's block order.
void Forward::conv_pool(const PackedLevel& level, const Level& below) {
  const int64_t size = below.map(), C2 = level.shape.width;
  const Level& to = level.shape;
  const float* map = convolve(level, below, residual_.data(), nullptr);
  const int64_t pad = config_.pool_padding == PoolPadding::kSame ? kernels::same_padding(size) : 1;
  parallel_for(B_ * to.blocks * to.edge, [&](int64_t i) {  // -> x [B, T/4, N, C'], a row of a block
    const int64_t t = i / to.edge, b = t / to.blocks, block = t % to.blocks;
    const int64_t oy = block / to.grid * to.edge + i % to.edge, ox = block % to.grid * to.edge;
    timed(to, Part::kPool, [&] {
      kernels_.max_pool(map + b * size * size * C2, size, C2, pad, oy, ox, to.edge,
                        residual_.data() + i * to.edge * C2);
    });
  });
}

// Every layer: x += proj(attention(norm1(x))), then x += fc2(gelu(fc1(norm2(x)))).
void Forward::encode(const PackedLevel& level) {
  if (config_.norm_type == Norm::kGroup)
    encode_by_step(level);
  else
    encode_by_piece(level);
}

// body(piece, scratch) for all pieces of a level.
template <class Body>
void Forward::each_piece(const PackedLevel& level, const Body& body) const {
  const std::vector<Piece> all = pieces(B_, level.shape, most_rows(level), threads_);
  parallel_for(std::ssize(all),
               [&](int64_t i) { body(all[static_cast<size_t>(i)], scratch_of_thread()); });
}

// One loop for each layer: a piece goes from attention to the next layer's queries. It reads the
// keys of its block, which other pieces made before the barrier, and writes its own of the next
// layer to the other half of wide_.
void Forward::encode_by_piece(const PackedLevel& level) {
  const std::vector<PackedLayer>& layers = level.layers;
  float* halves[2] = {wide_.data(), wide_.data() + B_ * rows_of(level.shape) * level.attention.ld};
  each_piece(level, [&](const Piece& piece, float* scratch) {
    add_position(level, piece);
    keep(level.shape, piece, traced(level.shape, 0).before);
    queries(level, layers.front(), piece, halves[0], scratch);
  });
  for (size_t j = 0; j < layers.size(); ++j)
    each_piece(level, [&](const Piece& piece, float* scratch) {
      attention(level, layers[j], piece, halves[j % 2], scratch);
      keep(level.shape, piece, traced(level.shape, j).between);
      mlp(level, layers[j], piece, scratch);
      if (j + 1 == layers.size()) return;
      keep(level.shape, piece, traced(level.shape, j + 1).before);
      queries(level, layers[j + 1], piece, halves[(j + 1) % 2], scratch);
    });
}

// With group norm, which needs all rows of an image, each step is a loop.
void Forward::encode_by_step(const PackedLevel& level) {
  float* qkv = wide_.data();
  each_piece(level, [&](const Piece& piece, float*) { add_position(level, piece); });
  for (size_t j = 0; j < level.layers.size(); ++j) {
    const PackedLayer& layer = level.layers[j];
    measure_groups(layer.norm1, level.shape);
    each_piece(level, [&](const Piece& piece, float* scratch) {
      keep(level.shape, piece, traced(level.shape, j).before);
      queries(level, layer, piece, qkv, scratch);
    });
    each_piece(level, [&](const Piece& piece, float* scratch) {
      attention(level, layer, piece, qkv, scratch);
      keep(level.shape, piece, traced(level.shape, j).between);
    });
    measure_groups(layer.norm2, level.shape);
    each_piece(level,
               [&](const Piece& piece, float* scratch) { mlp(level, layer, piece, scratch); });
  }
}

LayerTrace Forward::traced(const Level& level, size_t layer) const {
  if (!trace_) return {};
  const std::vector<LayerTrace>& layers = (*trace_)[static_cast<size_t>(level.index)].layers;
  return layers.empty() ? LayerTrace{} : layers[layer];
}

// A piece of x to its place in an array of the trace, unless that is null.
void Forward::keep(const Level& level, const Piece& piece, float* array) const {
  const int64_t at = piece.first * level.width;
  if (array) std::copy_n(residual_.data() + at, piece.rows * level.width, array + at);
}

void Forward::add_position(const PackedLevel& level, const Piece& piece) const {
  const int64_t image = rows_of(level.shape), C = level.shape.width;
  if (trace_) keep(level.shape, piece, (*trace_)[static_cast<size_t>(level.shape.index)].input);
  for (int64_t r = piece.first; r < piece.first + piece.rows; ++r)
    kernels::add(level.position.data() + r % image * C, C, residual_.data() + r * C);
}

// qkv [B, T, N, W] of a piece <- norm1(x) Wqkv + b
void Forward::queries(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                      float* qkv, float* scratch) const {
  const int64_t C = level.shape.width, W = level.attention.ld;
  float *normed = scratch, *rest = normed + piece.rows * C;
  normalise(layer.norm1, level.shape, piece, normed);
  timed(level.shape, Part::kQkv, [&] {
    apply(layer.qkv, level.use_strassen,
          {.x = normed, .m = piece.rows, .y = qkv + piece.first * W, .ldy = W}, rest);
  });
}

// x += proj(softmax(q k^T / sqrt(D)) v)
void Forward::attention(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                        const float* qkv, float* scratch) const {
  const int64_t N = level.shape.tokens, C = level.shape.width, W = level.attention.ld;
  const int64_t keys = C, values = C + level.attention.kv_heads * level.shape.head_dim;
  float *mixed = scratch, *rest = mixed + piece.rows * C;
  timed(level.shape, Part::kAttention, [&] {
    each_part(piece, N, [&](int64_t row, int64_t rows) {
      const float* block = qkv + row / N * N * W;
      attend_(level.attention, qkv + row * W, rows, block + keys, block + values,
              mixed + (row - piece.first) * C, rest);
    });
  });
  float* x = residual_.data() + piece.first * C;
  timed(level.shape, Part::kProj, [&] {
    apply(layer.proj, level.use_strassen,
          {.x = mixed, .m = piece.rows, .y = x, .ldy = C, .add = true}, rest);
  });
}

// x += fc2(gelu(fc1(norm2(x))))
void Forward::mlp(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                  float* scratch) const {
  const int64_t C = level.shape.width, M = level.mlp, rows = piece.rows;
  float *normed = scratch, *hidden = normed + rows * C, *rest = hidden + rows * M;
  normalise(layer.norm2, level.shape, piece, normed);
  timed(level.shape, Part::kFc1, [&] {
    apply(layer.fc1, level.use_strassen, {.x = normed, .m = rows, .y = hidden, .ldy = M}, rest);
  });
  const auto gelu =
      layer.fc2.precision() == NumberType::kF32 ? kernels_.gelu : kernels_.gelu_approx;
  timed(level.shape, Part::kGelu, [&] { gelu(hidden, rows, M, config_.gelu == Gelu::kTanh); });
  float* x = residual_.data() + piece.first * C;
  timed(level.shape, Part::kFc2, [&] {
    apply(layer.fc2, level.use_strassen, {.x = hidden, .m = rows, .y = x, .ldy = C, .add = true},
          rest);
  });
}

// y [rows, C] <- norm(x) of a piece; with group norm, after measure_groups().
void Forward::normalise(const PackedNorm& norm, const Level& level, const Piece& piece,
                        float* y) const {
  timed(level, Part::kNorm, [&] {
    norms::normalise(norm, {residual_.data(), rows_of(level), level.width}, piece,
                     group_affine_.data(), y);
  });
}

void Forward::measure_groups(const PackedNorm& norm, const Level& level) {
  parallel_for(B_ * norms::kShares, [&](int64_t i) {
    timed(level, Part::kNorm, [&] {
      norms::measure_share(norm, {residual_.data(), rows_of(level), level.width}, i,
                           scratch_of_thread(), group_affine_.data());
    });
  });
}

// Norm first, then the mean over tokens, then the classifier.
void Forward::head(const Level& level, float* logits) {
  const int64_t rows = rows_of(level), C = level.width, K = config_.num_classes;
  if (config_.norm_type == Norm::kGroup) measure_groups(model_.norm, level);
  parallel_for(B_, [&](int64_t b) {
    float *normed = scratch_of_thread(), *mean = normed + rows * C;
    normalise(model_.norm, level, {b * rows, rows}, normed);
    timed(level, Part::kHead, [&] {
      kernels::mean_rows(normed, rows, C, mean);
      model_.head({.x = mean, .m = 1, .y = logits + b * K, .ldy = K});
    });
  });
}

float* Forward::scratch_of_thread() const {
  return scratch_.data() + omp_get_thread_num() * sizes_.scratch;
}

int64_t Forward::floats_per_image() const {
  return sizes_.residual + sizes_.wide + sizes_.group_affine;
}

// The largest need of any level in each buffer.
Forward::Sizes Forward::sizes() const {
  Sizes sizes{};
  const Level &first = model_.levels.front().shape, &last = model_.levels.back().shape;
  const int64_t e = config_.init_patch_embed_size;
  const int64_t patches = first.tokens * config_.in_channels * e * e;
  const int64_t normed_and_mean = (rows_of(last) + 1) * last.width;  // of head()
  sizes.scratch = std::max(patches, normed_and_mean);
  const Level* below = nullptr;
  for (const PackedLevel& level : model_.levels) {
    const int64_t rows = rows_of(level.shape), C = level.shape.width;
    sizes.residual = std::max(sizes.residual, rows * C);
    // Queries, keys and values of a layer and of the next.
    sizes.wide = std::max(sizes.wide, 2 * rows * level.attention.ld);
    if (config_.norm_type == Norm::kGroup) sizes.group_affine = std::max(sizes.group_affine, 2 * C);
    if (below) {  // the plane of the level below with its border, and the convolution's output
      const int64_t side = below->map() + 2;
      sizes.wide = std::max(sizes.wide, side * side * below->width + rows_of(*below) * C);
      sizes.scratch = std::max({sizes.scratch, side * below->width, level.conv->scratch_size()});
    }
    // The normed rows and the hidden layer of a piece, which may have 3 rows more than asked for.
    const int64_t piece = most_rows(level) + 3;
    sizes.scratch = std::max(sizes.scratch, piece * (C + level.mlp) + scratch_size(level, piece));
    below = &level.shape;
  }
  constexpr int64_t kLine =
      16;  // floats in a cache line, at whose border each thread's part begins
  sizes.scratch = (sizes.scratch + kLine - 1) / kLine * kLine;
  return sizes;
}

void Forward::reserve() {
  residual_.reserve(B_ * sizes_.residual);
  wide_.reserve(B_ * sizes_.wide);
  group_affine_.reserve(B_ * sizes_.group_affine);
  scratch_.reserve(threads_ * sizes_.scratch);
}

}  // namespace nestvit
