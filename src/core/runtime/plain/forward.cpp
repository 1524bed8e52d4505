// The forward of a NesT, to be read from top to bottom beside the paper (section 3) or reference.md
// A.
//
// Shapes: B images, T blocks, N tokens per block, C channels, H heads, D = C/H. Between the steps
// the activations are rows of C channels in block order, [B, T, N, C]: attention never looks beyond
// its block, and linear layers and norms do not care, so only ConvPool puts the plane together
// again.
//
// Buffers: x_ is the residual stream, y_ the input or output of a branch, w_ whatever is wider.
#include "runtime/plain/forward.h"

#include <nestvit/error.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/reference.h"

namespace nestvit {
namespace {

constexpr auto kEps = static_cast<float>(kNormEps);

// Attention scores that a thread holds at a time, in floats: half of a small L2 cache of 512 KB.
constexpr int64_t kScores = 64 * 1024;

int64_t rows_of(const Level& level) { return int64_t{level.blocks} * level.tokens; }

template <class Body>
void parallel_for(int64_t count, const Body& body) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) body(i);
}

// body(first, count) for pieces of `rows`, small enough to share evenly and large enough to be
// worth a call.
template <class Body>
void parallel_rows(int64_t rows, const Body& body) {
  constexpr int64_t kPiece = 32;
  parallel_for((rows + kPiece - 1) / kPiece,
               [&](int64_t i) { body(i * kPiece, std::min(kPiece, rows - i * kPiece)); });
}

// Query rows that go through softmax together.
int64_t rows_per_piece(int64_t rows, int64_t N) {
  return std::clamp<int64_t>(kScores / N, 1, rows);
}

}  // namespace

Forward::Forward(const LoadedModel& model, int threads)
    : config_(model.config),
      threads_(threads),
      model_(pack(model)),
      sizes_(buffer_sizes(config_)) {}

void Forward::operator()(const float* images, int64_t B, float* logits,
                         const std::vector<float*>& features) {
  B_ = B;
  reserve();
  patch_embedding(images);  // [B, channels, S, S] -> x [B, T, N, C]
  for (const PackedLevel& level : model_.levels) {
    const int i = level.shape.index;
    if (i > 0) conv_pool(level, model_.levels[i - 1].shape);  // -> x [B, T/4, N, C']
    add_position(level);
    for (const PackedLayer& layer : level.layers) {
      attention(level.shape, layer);  // x += Proj(Attention(Norm(x)))
      mlp(level.shape, layer);        // x += W2 gelu(W1 Norm(x))
    }
    if (!features.empty())
      std::copy_n(x_, B * rows_of(level.shape) * level.shape.width, features[i]);
  }
  head(model_.levels.back().shape, logits);  // x [B, 1, N, C] -> logits [B, K]
}

// Every token is a linear map of its e x e pixels: gathered in block order, so nothing is moved
// afterwards.
void Forward::patch_embedding(const float* images) {
  const Level& level = model_.levels.front().shape;
  const int64_t e = config_.init_patch_embed_size, S = config_.image_size;
  const int64_t channels = config_.in_channels;
  const int64_t T = level.blocks, N = level.tokens, pixels = channels * e * e;
  parallel_for(B_ * T,
               [&](int64_t i) {  // images [B, channels, S, S] -> w [B, T, N, channels * e * e]
                 kernels::patchify(images + i / T * channels * S * S, channels, e, level.grid,
                                   level.edge, i % T, w_ + i * N * pixels);
               });
  model_.patch_embedding(w_, B_ * T * N, x_);  // -> x [B, T, N, C]
}

// From one level to the next: on the whole plane, a 3x3 convolution to the next level's channels
// C', layer norm, and a 3x3 max-pool with stride 2; the only place where blocks exchange anything.
void Forward::conv_pool(const PackedLevel& level, const Level& below) {
  const int64_t T = below.blocks, N = below.tokens, C = below.width;
  const int64_t size = below.map(), pixels = size * size;  // tokens of the plane, T * N
  const int64_t T2 = level.shape.blocks, C2 = level.shape.width;
  const int64_t size2 = level.shape.map(), pixels2 = size2 * size2;
  parallel_for(B_ * T, [&](int64_t i) {  // x [B, T, N, C] -> w [B, size, size, C]
    kernels::unblockify(x_ + i * N * C, below.grid, below.edge, C, i % T, w_ + i / T * pixels * C);
  });
  (*level.pool_conv)(w_, B_, y_);  // -> y [B, size, size, C']
  const PackedNorm& norm = *level.pool_norm;
  parallel_rows(B_ * pixels, [&](int64_t first, int64_t count) {  // y, in place
    float* y = y_ + first * C2;
    kernels::layer_norm(y, count, C2, norm.scale.data(), norm.shift.data(), kEps, y);
  });
  const int64_t pad = config_.pool_padding == PoolPadding::kSame ? kernels::same_padding(size) : 1;
  parallel_for(B_ * size2, [&](int64_t i) {  // -> w [B, size/2, size/2, C']
    const float* plane = y_ + i / size2 * pixels * C2;
    kernels::max_pool_row(plane, size, size, C2, pad, pad, i % size2, w_ + i * size2 * C2);
  });
  parallel_for(B_ * T2, [&](int64_t i) {  // -> x [B, T/4, N, C']
    kernels::blockify(w_ + i / T2 * pixels2 * C2, level.shape.grid, level.shape.edge, C2, i % T2,
                      x_ + i * N * C2);
  });
}

// One vector per block and token: the only way in which a layer knows where it is.
void Forward::add_position(const PackedLevel& level) {
  const int64_t T = level.shape.blocks, row = int64_t{level.shape.tokens} * level.shape.width;
  parallel_for(B_ * T, [&](int64_t i) {  // x [B, T, N, C] += position [T, N, C]
    kernels::add(level.position.data() + i % T * row, row, x_ + i * row);
  });
}

// x += Proj(softmax(q k^T / sqrt(D)) v), q, k and v from Norm(x), each block by itself.
void Forward::attention(const Level& level, const PackedLayer& layer) {
  const int64_t N = level.tokens, C = level.width, H = level.heads, D = level.head_dim;
  const int64_t blocks = B_ * level.blocks, m = blocks * N;
  const bool multi_query = layer.kv.has_value();
  norm(layer.norm1, level, x_, y_);  // x [B, T, N, C] -> y
  layer.qkv(y_, m, w_);              // -> w [B, T, N, 3C], or queries alone [B, T, N, C]
  float* kv = w_ + m * C;            // -> [B, T, N, 2D], multi-query's one key and value
  if (multi_query) (*layer.kv)(y_, m, kv);

  // Multi-head: per head, N queries of D, a row of w apart. Multi-query: the queries of all heads
  // meet the same keys, and [N, H*D] is [N*H, D], so a block is one "head" of N*H queries.
  const int64_t heads = multi_query ? 1 : H, queries = multi_query ? N * H : N;
  const int64_t q_stride = multi_query ? D : 3 * C, kv_stride = multi_query ? 2 * D : 3 * C;
  const int64_t out_stride = multi_query ? D : C;
  const int64_t piece = rows_per_piece(queries, N), pieces = (queries + piece - 1) / piece;
  const float scale = 1.0f / std::sqrt(static_cast<float>(D));
  std::atomic<bool> done = true;
  parallel_for(blocks * heads * pieces, [&](int64_t i) {
    const int64_t block = i / (heads * pieces), h = i / pieces % heads, first = i % pieces * piece;
    const int64_t count = std::min(piece, queries - first);
    const float* q = w_ + block * N * (multi_query ? C : 3 * C) + h * D + first * q_stride;
    const float* k = multi_query ? kv + block * N * 2 * D : w_ + block * N * 3 * C + C + h * D;
    const float* v = k + (multi_query ? D : C);
    float* scores = s_ + omp_get_thread_num() * piece * N;
    float* out = y_ + block * N * C + h * D + first * out_stride;
    // q k^T: [count, D] [N, D] -> scores [count, N]
    bool ok = multiply_transposed({q, q_stride}, {k, kv_stride}, count, N, D, scores, N);
    kernels::softmax(scores, count, N, scale);
    // softmax v: [count, N] [N, D] -> y [B, T, N, H*D]
    ok = multiply({scores, N}, {v, kv_stride}, count, D, N, out, out_stride) && ok;
    if (!ok) done = false;
  });
  if (!done) throw Error("attention failed: no memory", "try a smaller model or fewer threads");
  layer.proj.accumulate(y_, m, x_);  // x [B, T, N, C] += y Wp + b
}

// x += W2 gelu(W1 Norm(x) + b1) + b2
void Forward::mlp(const Level& level, const PackedLayer& layer) {
  const int64_t m = B_ * rows_of(level), hidden = mlp_width(config_, level.width);
  norm(layer.norm2, level, x_, y_);  // x [B, T, N, C] -> y
  layer.fc1(y_, m, w_);              // -> w [B, T, N, mlp_ratio * C]
  const auto gelu = config_.gelu == Gelu::kTanh ? kernels::gelu_tanh : kernels::gelu_erf;
  parallel_rows(m,
                [&](int64_t first, int64_t count) { gelu(w_ + first * hidden, count * hidden); });
  layer.fc2.accumulate(w_, m, x_);  // x += w W2 + b2
}

// Norm first, then the mean over tokens, then the classifier.
void Forward::head(const Level& level, float* logits) {
  const int64_t rows = rows_of(level), C = level.width;
  norm(model_.norm, level, x_, y_);  // x [B, 1, N, C] -> y
  parallel_for(B_, [&](int64_t b) {  // -> w [B, C]
    kernels::mean_rows(y_ + b * rows * C, rows, C, w_ + b * C);
  });
  model_.head(w_, B_, logits);  // -> logits [B, K]
}

// The norm of encoder layers and head: x [B, T, N, C] -> y.
void Forward::norm(const PackedNorm& norm, const Level& level, const float* x, float* y) {
  const int64_t rows = rows_of(level), C = level.width;
  const float *scale = norm.scale.data(), *shift = norm.shift.data();
  switch (norm.kind) {
    case Norm::kLayer:  // per token
      return parallel_rows(B_ * rows, [&](int64_t first, int64_t count) {
        kernels::layer_norm(x + first * C, count, C, scale, shift, kEps, y + first * C);
      });
    case Norm::kBatch:  // by running statistics
      return parallel_rows(B_ * rows, [&](int64_t first, int64_t count) {
        kernels::channel_affine(x + first * C, count, C, scale, shift, y + first * C);
      });
    case Norm::kGroup:  // over all blocks and tokens of an image
      return parallel_for(B_, [&](int64_t b) {
        kernels::group_norm(x + b * rows * C, rows, C, kGroupNormGroups, scale, shift, kEps,
                            group_sums_.data() + b * 2 * C, y + b * rows * C);
      });
  }
}

void Forward::reserve() {
  int64_t scores = 0;
  for (const PackedLevel& level : model_.levels) {
    const int64_t N = level.shape.tokens,
                  queries = N * (level.layers[0].kv ? level.shape.heads : 1);
    scores = std::max(scores, rows_per_piece(queries, N) * N);
  }
  if (config_.norm_type == Norm::kGroup) {
    int widest = 0;
    for (const PackedLevel& level : model_.levels) widest = std::max(widest, level.shape.width);
    group_sums_.resize(std::max<size_t>(group_sums_.size(), B_ * 2 * widest));
  }
  x_ = stream_.reserve(B_ * sizes_.stream);
  y_ = branch_.reserve(B_ * sizes_.branch);
  w_ = wide_.reserve(B_ * sizes_.wide);
  s_ = scores_.reserve(threads_ * scores);
}

}  // namespace nestvit
