// The backward, in model order from the logits down: to be read beside forward.cpp and the formulas
// of docs/explain.md.
//
// Shapes: B images, V targets of each, T blocks, N tokens per block, C channels, H heads, D = C/H;
// W is the width of queries, keys and values together, M the MLP's, Y the explained scalar. d is
// the gradient of Y by the residual stream x, [V, B, T, N, C]; da is that by an array a. What a
// target shares with the others, recomputed activations, is computed once.
//
// Conservative propagation takes attention's weights, a norm's deviation and GELU's gate gelu(h)/h
// as constants; each step says what that leaves.
#include "runtime/backward.h"

#include <omp.h>

#include <algorithm>
#include <iterator>

#include "kernels/dispatch.h"
#include "kernels/portable.h"

namespace nestvit {
namespace {

size_t index(int64_t i) { return static_cast<size_t>(i); }
int64_t floats_of(const Level& level) { return rows_of(level) * level.width; }

// Columns of v; as many have the keys.
int64_t value_width(const PackedLevel& level) {
  return level.attention.kv_heads * level.shape.head_dim;
}

int64_t padding(const NestConfig& config, int64_t size) {
  return config.pool_padding == PoolPadding::kSame ? kernels::same_padding(size) : 1;
}

// Floats that hold as many bytes.
int64_t floats_for(int64_t bytes) { return (bytes + 3) / 4; }

}  // namespace

Backward::Backward(const LoadedModel& model, Forward& forward, int threads)
    : config_(model.config),
      threads_(threads),
      forward_(forward),
      model_(forward.model()),
      transposed_(pack_transposed(model)),
      kernels_(*kernels::inference_kernels().front()),
      training_(*kernels::training_kernels().front()),
      sizes_(sizes()) {}

void Backward::operator()(const BackwardCall& call) {
  call_ = &call;
  reserve();
  const bool to_pixels = call.options.depth == Depth::kPixels;
  head(model_.levels.back());  // t [V, B, K] -> d [V, B, 1, N, C]
  for (int i = static_cast<int>(model_.levels.size()) - 1; i >= 0; --i) {
    const PackedLevel& level = model_.levels[index(i)];
    const int64_t image = floats_of(level.shape);
    const auto activations = [i](Gradients& g) -> LevelGradients& { return g.levels[index(i)]; };
    const auto input = [&](Gradients& g) -> Activation& { return activations(g).input; };
    const auto output = [&](Gradients& g) -> Activation& { return activations(g).output; };
    give_values(call.trace[index(i)].input, image, input);
    give_values(call.outputs[index(i)], image, output);
    // The tree needs nothing of level 0 but what it is made of.
    if (i == 0 && !to_pixels && model_.levels.size() > 1) break;
    give(d_.data(), image, output);
    if (i == 0 && !to_pixels) break;
    for (size_t j = level.layers.size(); j-- > 0;) layer(level, j);  // d, in place
    give(d_.data(), image, input);  // the position embedding is added: the same gradient above it
    if (i > 0) conv_pool(level, model_.levels[index(i - 1)].shape);  // -> d of the level below
  }
  if (to_pixels) patch_embedding();
}

// Y = t . (W mean(z) + b) with z = norm(x): dz = t W / N for every token.
void Backward::head(const PackedLevel& level) {
  const int64_t rows = rows_of(level.shape), C = level.shape.width, K = config_.num_classes;
  const float* x = call_->outputs.back();
  const PackedNorm& norm = model_.norm;
  if (norm.kind == Norm::kGroup) measure(norm, level.shape, x);
  parallel_for(call_->slots * call_->B, [&](int64_t i) {
    float *mean = scratch_of_thread(), *dz = branch_.data() + i * rows * C;
    transposed_.head({.x = call_->targets + i * K, .m = 1, .y = mean, .ldy = C});
    for (int64_t c = 0; c < C; ++c) mean[c] /= static_cast<float>(rows);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(mean, C, dz + r * C);
  });
  const auto final_norm = [](Gradients& g) -> Activation& { return g.final_norm; };
  parallel_for(call_->B, [&](int64_t b) {  // z, where d will be
    norms::normalise(norm, {x, rows, C}, {b * rows, rows}, groups_.data(),
                     d_.data() + b * rows * C);
  });
  give_values(d_.data(), rows * C, final_norm);
  give(branch_.data(), rows * C, final_norm);
  if (norm.kind == Norm::kGroup) measure_backward(norm, level.shape, x);
  std::fill_n(d_.data(), call_->slots * call_->B * rows * C, 0.0f);
  parallel_for(call_->B, [&](int64_t b) {
    add_norm(norm, level.shape, x, {b * rows, rows}, scratch_of_thread());
  });
}

// x1 = x + proj(attention(norm1(x))), then x1 + fc2(gelu(fc1(norm2(x1)))): a branch's gradient is
// added to d, which is the residual's. Group norm needs all rows of an image between a branch and
// its norm, so its steps are loops of their own.
void Backward::layer(const PackedLevel& level, size_t j) {
  const PackedLayer& layer = level.layers[j];
  const LayerTrace& kept = call_->trace[index(level.shape.index)].layers[j];
  const bool by_image = config_.norm_type == Norm::kGroup;
  if (by_image) measure(layer.norm2, level.shape, kept.between);
  each_piece(level, [&](const Piece& piece, float* scratch) {
    mlp(level, j, piece, scratch);
    if (by_image) return;
    add_norm(layer.norm2, level.shape, kept.between, piece, scratch);
    proj(level, j, piece, scratch);
  });
  if (by_image) {
    measure_backward(layer.norm2, level.shape, kept.between);
    measure(layer.norm1, level.shape, kept.before);
    each_piece(level, [&](const Piece& piece, float* scratch) {
      add_norm(layer.norm2, level.shape, kept.between, piece, scratch);
      proj(level, j, piece, scratch);
    });
  }
  attention(level);
  each_piece(level, [&](const Piece& piece, float* scratch) {
    queries(level, j, piece, scratch);
    if (!by_image) add_norm(layer.norm1, level.shape, kept.before, piece, scratch);
  });
  if (!by_image) return;
  measure_backward(layer.norm1, level.shape, kept.before);
  each_piece(level, [&](const Piece& piece, float* scratch) {
    add_norm(layer.norm1, level.shape, kept.before, piece, scratch);
  });
}

// branch [V, B, T, N, C] of a piece <- ((d Wfc2) * gelu'(h)) Wfc1 with h = fc1(norm2(x1))
void Backward::mlp(const PackedLevel& level, size_t j, const Piece& piece, float* scratch) {
  const PackedLayer& layer = level.layers[j];
  const TransposedLayer& back = transposed_.levels[index(level.shape.index)].layers[j];
  const float* x1 = call_->trace[index(level.shape.index)].layers[j].between;
  const int64_t C = level.shape.width, M = level.mlp, rows = piece.rows;
  float *normed = scratch, *h = normed + rows * C, *dh = h + rows * M, *rest = dh + rows * M;
  norms::normalise(layer.norm2, {x1, rows_of(level.shape), C}, piece, groups_.data(), normed);
  apply(layer.fc1, level.use_strassen, {.x = normed, .m = rows, .y = h, .ldy = M}, rest);
  for (int64_t v = 0; v < call_->slots; ++v) {
    const int64_t first = at(v, floats_of(level.shape)) + piece.first * C;
    apply(back.fc2, level.use_strassen, {.x = d_.data() + first, .m = rows, .y = dh, .ldy = M},
          rest);
    gelu(h, rows, M, dh, rest);
    apply(back.fc1, level.use_strassen, {.x = dh, .m = rows, .y = branch_.data() + first, .ldy = C},
          rest);
  }
}

// dh *= gelu'(h); conservative: gelu(h) / h.
void Backward::gelu(const float* h, int64_t rows, int64_t M, float* dh, float* scratch) const {
  const bool tanh = config_.gelu == Gelu::kTanh;
  if (conservative()) return kernels_.gelu_gate(h, rows, M, tanh, dh);
  // The kernel of training also makes gelu(h), row by row into a cache, and a bias's gradient.
  float *unread = scratch, *no_bias = unread + M, *bias_gradient = no_bias + M;
  std::fill_n(no_bias, 2 * M, 0.0f);
  for (int64_t r = 0; r < rows; ++r)
    training_.bias_gelu_backward(h + r * M, no_bias, 1, M, tanh, unread, dh + r * M, bias_gradient);
}

// branch of a piece <- d Wproj, the gradient of attention's output; qkv [B, T, N, W] again.
void Backward::proj(const PackedLevel& level, size_t j, const Piece& piece, float* scratch) {
  const PackedLayer& layer = level.layers[j];
  const TransposedLayer& back = transposed_.levels[index(level.shape.index)].layers[j];
  const float* x = call_->trace[index(level.shape.index)].layers[j].before;
  const int64_t C = level.shape.width, W = level.attention.ld, rows = piece.rows;
  float *normed = scratch, *rest = normed + rows * C;
  for (int64_t v = 0; v < call_->slots; ++v) {
    const int64_t first = at(v, floats_of(level.shape)) + piece.first * C;
    apply(back.proj, level.use_strassen,
          {.x = d_.data() + first, .m = rows, .y = branch_.data() + first, .ldy = C}, rest);
  }
  norms::normalise(layer.norm1, {x, rows_of(level.shape), C}, piece, groups_.data(), normed);
  // Conservative: v is not read.
  const int64_t columns = conservative() ? W - value_width(level) : W;
  apply(layer.qkv, level.use_strassen,
        {.x = normed, .m = rows, .y = wide_.data() + piece.first * W, .ldy = W, .columns = columns},
        rest);
}

// dqkv [V, B, T, N, W] from dO, the branch: O = A v with A = softmax(q k^T / sqrt(D)).
// Conservative: only dv = A^T dO, in the last columns.
void Backward::attention(const PackedLevel& level) {
  const int64_t N = level.shape.tokens, C = level.shape.width, D = level.shape.head_dim;
  const int64_t W = level.attention.ld, values = value_width(level), T = level.shape.blocks;
  const bool multi_query = level.attention.kv_heads == 1;
  // Heads are shared among threads, too, since the last level has one block; but those of
  // multi-query, whose keys they share, are added up in order.
  kernels::AttentionShape shape = level.attention;
  const int64_t parts = multi_query ? 1 : shape.heads;
  if (!multi_query) shape.heads = shape.kv_heads = 1;
  const int64_t blocks = call_->B * T;
  const float* qkv = wide_.data();
  float* dqkv = wide_.data() + call_->B * rows_of(level.shape) * W;
  parallel_for(call_->slots * blocks * parts, [&](int64_t i) {
    const int64_t t = i / parts, column = i % parts * D;  // of blocks of all targets
    const float* q = qkv + t % blocks * N * W + column;
    float* dq = dqkv + t * N * W + column;
    training_.attention_backward(shape, q, q + C, q + C + values,
                                 branch_.data() + t * N * C + column, conservative() ? nullptr : dq,
                                 dq + C, dq + C + values, scratch_of_thread());
  });
}

// branch of a piece <- dqkv Wqkv, the gradient of norm1's output; conservative: dv Wv.
void Backward::queries(const PackedLevel& level, size_t j, const Piece& piece, float* scratch) {
  const TransposedLayer& back = transposed_.levels[index(level.shape.index)].layers[j];
  const int64_t C = level.shape.width, W = level.attention.ld, rows = piece.rows;
  const int64_t values = value_width(level), others = W - values;
  float *dqk = scratch, *dv = dqk + rows * others, *rest = dv + rows * values;
  for (int64_t v = 0; v < call_->slots; ++v) {
    const float* from =
        wide_.data() + (v + 1) * call_->B * rows_of(level.shape) * W + piece.first * W;
    float* branch = branch_.data() + at(v, floats_of(level.shape)) + piece.first * C;
    for (int64_t r = 0; r < rows; ++r, from += W) {
      std::copy_n(from + others, values, dv + r * values);
      if (!conservative()) std::copy_n(from, others, dqk + r * others);
    }
    apply(back.values, level.use_strassen, {.x = dv, .m = rows, .y = branch, .ldy = C}, rest);
    if (!conservative())
      apply(back.queries_keys, level.use_strassen,
            {.x = dqk, .m = rows, .y = branch, .ldy = C, .add = true}, rest);
  }
}

// d of a piece += the gradient of x from the branch, that of norm(x).
void Backward::add_norm(const PackedNorm& norm, const Level& level, const float* x,
                        const Piece& piece, float* scratch) {
  for (int64_t v = 0; v < call_->slots; ++v) {
    const int64_t first = at(v, floats_of(level)) + piece.first * level.width;
    norms::add_backward(norm_of(norm, level, x, v), piece, branch_.data() + first, scratch,
                        d_.data() + first);
  }
}

norms::Backward Backward::norm_of(const PackedNorm& norm, const Level& level, const float* x,
                                  int64_t slot) const {
  return {.norm = norm,
          .constant = conservative(),
          .x = {x, rows_of(level), level.width},
          .groups = norm.kind == Norm::kGroup ? group_gradients_.data() + at(slot, 4 * level.width)
                                              : nullptr};
}

void Backward::measure(const PackedNorm& norm, const Level& level, const float* x) {
  parallel_for(call_->B * norms::kShares, [&](int64_t i) {
    norms::measure_share(norm, {x, rows_of(level), level.width}, i, scratch_of_thread(),
                         groups_.data());
  });
}

void Backward::measure_backward(const PackedNorm& norm, const Level& level, const float* x) {
  const int64_t shares = call_->B * norms::kShares, C = level.width;
  parallel_for(call_->slots * shares, [&](int64_t i) {
    const int64_t v = i / shares;
    norms::measure_backward(
        norm_of(norm, level, x, v), {branch_.data() + at(v, floats_of(level)), rows_of(level), C},
        i % shares, scratch_of_thread(), group_gradients_.data() + at(v, 4 * C));
  });
}

// du -> dv of the max-pool: each result's gradient goes to the pixel that it came from. Then layer
// norm and convolution, unless nothing below is asked for.
void Backward::conv_pool(const PackedLevel& level, const Level& below) {
  const Level& to = level.shape;
  const int64_t B = call_->B, size = below.map(), C2 = to.width, plane = size * size * C2;
  const int64_t pad = padding(config_, size);
  const bool deeper = to.index > 1 || call_->options.depth == Depth::kPixels;
  // wide_: the plane before its norm [B, size, size, C'], dv [V, B, size, size, C'], the places
  // that the pool chose [B, T/4, N, C'] in bytes; convolve() takes the rest.
  float *convolved = wide_.data(), *dv = convolved + B * plane;
  auto* chosen = reinterpret_cast<uint8_t*>(dv + call_->slots * B * plane);
  const float* v = forward_.aggregate(to.index, call_->outputs[index(below.index)],
                                      deeper ? convolved : nullptr);
  const auto aggregated = [&](Gradients& g) -> Activation& {
    return g.levels[index(to.index)].aggregated;
  };
  give_values(v, plane, aggregated);
  parallel_for(B * to.blocks * to.edge, [&](int64_t i) {  // a row of a block, as in the forward
    const int64_t t = i / to.edge, b = t / to.blocks, block = t % to.blocks;
    const int64_t oy = block / to.grid * to.edge + i % to.edge, ox = block % to.grid * to.edge;
    kernels::max_pool_choice(v + b * plane, size, C2, pad, oy, ox, to.edge,
                             chosen + i * to.edge * C2);
  });
  parallel_for(call_->slots * B * size, [&](int64_t i) {  // a row of the plane
    const int64_t y = i % size, image = i / size;
    float* row = dv + i * size * C2;
    std::fill_n(row, size * C2, 0.0f);
    for (int64_t oy = std::max<int64_t>(0, (y + pad - 1) / 2); oy <= (y + pad) / 2; ++oy) {
      if (oy >= to.map()) continue;
      for (int64_t g = 0; g < to.grid; ++g) {
        const int64_t t = oy / to.edge * to.grid + g;
        const int64_t first = (t * to.tokens + oy % to.edge * to.edge) * C2;
        kernels::max_pool_backward(d_.data() + image * floats_of(to) + first,
                                   chosen + image % B * floats_of(to) + first, size, C2, pad,
                                   g * to.edge, to.edge, static_cast<int>(y + pad - 2 * oy), row);
      }
    }
  });
  give(dv, plane, aggregated);
  if (deeper) convolve(level, below, convolved, dv);
}

// dv [V, B, size, size, C'] -> d [V, B, T, N, C] of the level below: layer norm's backward into a
// plane with a border of zeros, then the convolution with turned kernels.
void Backward::convolve(const PackedLevel& level, const Level& below, const float* convolved,
                        const float* dv) {
  const int64_t B = call_->B, size = below.map(), side = size + 2;
  const int64_t C = below.width, C2 = level.shape.width, images = call_->slots * B;
  const Convolution& conv = *transposed_.levels[index(level.shape.index)].conv;
  float* bordered = wide_.data() + (call_->slots + 1) * B * size * size * C2 +
                    floats_for(B * floats_of(level.shape));
  parallel_for(images * side, [&](int64_t i) {
    const int64_t y = i % side - 1, image = i / side;
    float* row = bordered + i * side * C2;
    std::fill_n(row, side * C2, 0.0f);
    if (y < 0 || y >= size) return;
    const Piece piece{(image % B * size + y) * size, size};  // of the pixels [B, size, size]
    norms::add_backward({.norm = *level.pool_norm,
                         .constant = conservative(),
                         .x = {convolved, size * size, C2},
                         .groups = nullptr},
                        piece, dv + (image * size + y) * size * C2, scratch_of_thread(), row + C2);
  });
  const int64_t together = conv.rows_per_call();
  parallel_for(images * size / together, [&](int64_t i) {
    const int64_t y = i * together % size, image = i * together / size;
    float *rows = scratch_of_thread(), *rest = rows + together * size * C;
    conv(bordered + (image * side + y) * side * C2, rows, rest);
    for (int64_t k = 0; k < together; ++k)
      for (int64_t g = 0; g < below.grid; ++g) {
        const int64_t t = (y + k) / below.edge * below.grid + g;
        const int64_t first = t * below.tokens + (y + k) % below.edge * below.edge;
        std::copy_n(rows + (k * size + g * below.edge) * C, below.edge * C,
                    d_.data() + image * floats_of(below) + first * C);
      }
  });
}

// d [V, B, T, N, C] -> the pixels' gradients [channels, S, S]
void Backward::patch_embedding() {
  const Level& level = model_.levels.front().shape;
  const int64_t e = config_.init_patch_embed_size, S = config_.image_size;
  const int64_t T = level.blocks, N = level.tokens, C = level.width;
  for (Gradients* result : call_->results)
    if (result) result->pixels.gradient.resize(index(config_.in_channels * S * S));
  parallel_for(call_->slots * call_->B * T, [&](int64_t i) {
    Gradients* result = call_->results[index(i / T)];
    if (!result) return;
    float* patches = scratch_of_thread();  // [N, channels * e * e]
    transposed_.patch_embedding(
        {.x = d_.data() + i * N * C, .m = N, .y = patches, .ldy = config_.in_channels * e * e});
    kernels::unpatchify(patches, config_.in_channels, e, level.grid, level.edge, i % T,
                        result->pixels.gradient.data());
  });
}

// body(piece, scratch) for all pieces of a level.
template <class Body>
void Backward::each_piece(const PackedLevel& level, const Body& body) const {
  const std::vector<Piece> all = pieces(call_->B, level.shape, most_rows(level), threads_);
  parallel_for(std::ssize(all), [&](int64_t i) { body(all[index(i)], scratch_of_thread()); });
}

// An array [V, B, count] into the gradients that `place` finds in the results.
template <class Place>
void Backward::give(const float* from, int64_t count, const Place& place) const {
  copy_images(
      count, [&](Gradients & result) -> auto& { return place(result).gradient; },
      [&](int64_t i) { return from + i * count; });
}

// The same for values [B, count], which all targets share.
template <class Place>
void Backward::give_values(const float* from, int64_t count, const Place& place) const {
  copy_images(
      count, [&](Gradients & result) -> auto& { return place(result).values; },
      [&](int64_t i) { return from + i % call_->B * count; });
}

// Memory is found outside of the parallel loop, which no exception may leave.
template <class To, class From>
void Backward::copy_images(int64_t count, const To& to, const From& from) const {
  const auto& results = call_->results;
  for (Gradients* result : results)
    if (result) to(*result).reserve(index(count));
  parallel_for(std::ssize(results), [&](int64_t i) {
    if (results[index(i)]) to(*results[index(i)]).assign(from(i), from(i) + count);
  });
}

float* Backward::scratch_of_thread() const {
  return scratch_.data() + omp_get_thread_num() * sizes_.scratch;
}

int64_t Backward::floats_per_image(int64_t slots) const {
  return sizes_.wide_image + 2 * sizes_.groups +
         slots * (2 * sizes_.rows + sizes_.wide_gradient + 4 * sizes_.groups);
}

// The largest need of any level in each buffer.
Backward::Sizes Backward::sizes() const {
  Sizes sizes{};
  const Level& first = model_.levels.front().shape;
  const int64_t e = config_.init_patch_embed_size;
  sizes.scratch = std::max<int64_t>(first.tokens * config_.in_channels * e * e,
                                    2 * model_.levels.back().shape.width);
  const Level* below = nullptr;
  for (const PackedLevel& level : model_.levels) {
    const int64_t C = level.shape.width, W = level.attention.ld, M = level.mlp;
    const int64_t rows = rows_of(level.shape);
    const TransposedLevel& back = transposed_.levels[index(level.shape.index)];
    sizes.rows = std::max(sizes.rows, rows * C);
    sizes.wide_image = std::max(sizes.wide_image, rows * W);
    sizes.wide_gradient = std::max(sizes.wide_gradient, rows * W);
    if (config_.norm_type == Norm::kGroup) sizes.groups = std::max(sizes.groups, C);
    if (below) {
      const int64_t size = below->map(), side = size + 2;
      sizes.wide_image = std::max(sizes.wide_image, size * size * C + floats_for(rows * C) + 1);
      sizes.wide_gradient = std::max(sizes.wide_gradient, (size * size + side * side) * C);
      sizes.scratch =
          std::max({sizes.scratch, 2 * C, 2 * size * below->width + back.conv->scratch_size()});
    }
    const int64_t piece = most_rows(level) + 3;  // a piece may have 3 rows more than asked for
    int64_t linear = linear_scratch(level, piece);
    for (const TransposedLayer& layer : back.layers)
      for (const Linear* each :
           {&layer.queries_keys, &layer.values, &layer.proj, &layer.fc1, &layer.fc2})
        linear = std::max(linear, each->scratch_size(piece));
    sizes.scratch =
        std::max({sizes.scratch, piece * (C + 2 * M) + std::max(linear, 3 * M), piece * W + linear,
                  norms::share_scratch(C) * 2, kernels::attention_scratch(level.attention)});
    below = &level.shape;
  }
  constexpr int64_t kLine =
      16;  // floats in a cache line, at whose border each thread's part begins
  sizes.scratch = (sizes.scratch + kLine - 1) / kLine * kLine;
  return sizes;
}

void Backward::reserve() {
  const int64_t B = call_->B, gradients = call_->slots * B;
  d_.reserve(gradients * sizes_.rows);
  branch_.reserve(gradients * sizes_.rows);
  wide_.reserve(B * sizes_.wide_image + gradients * sizes_.wide_gradient);
  groups_.reserve(B * 2 * sizes_.groups);
  group_gradients_.reserve(gradients * 4 * sizes_.groups);
  scratch_.reserve(threads_ * sizes_.scratch);
}

}  // namespace nestvit
