// NesT once more, as slowly and plainly as it can be written: one image, double precision, an index
// for every number. What the fast forwards are compared with, at random weights, for every option
// of the configuration.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/params.h"
#include "weights/model_dir.h"

namespace nestvit::testing {

// Weights at which every part of the model matters: activations stay of order 1, no bias is 0, no
// norm is plain.
inline LoadedModel random_model(const NestConfig& config, uint64_t seed) {
  LoadedModel model;
  model.config = config;
  model.origin = "random model";
  uint64_t number = 0;
  for (const Param& param : parameter_table(config)) {
    Rng rng(seed, Purpose::kTest, number++);
    const auto ends = [&](const std::string& end) { return param.name.ends_with(end); };
    const double fan_in = static_cast<double>(param.size()) / static_cast<double>(param.shape[0]);
    std::vector<float> values(param.size());
    for (float& value : values) {
      const float z = rng.truncated_normal();
      if (param.matrix)
        value = static_cast<float>(1 / std::sqrt(fan_in)) * z;
      else if (ends("running_var"))
        value = 2 + z * z;
      else if (param.init == Init::kOnes)
        value = 1 + 0.4f * z;
      else
        value = 0.4f * z;
    }
    model.tensors[param.name] = Tensor::f32(param.shape, std::move(values));
  }
  return model;
}

class ReferenceForward {
 public:
  using Rows = std::vector<std::vector<double>>;  // [T * N][C], block by block

  explicit ReferenceForward(const LoadedModel& model)
      : model_(model), config_(model.config), geometry_(geometry(config_)) {
    for (const Level& level : geometry_) kept_.emplace_back().layers.resize(level.depth);
  }

  std::vector<double> logits;  // [K]
  std::vector<Rows> levels;    // output of each level's last encoder layer

  // `image` is [channels, S, S].
  template <class Image>
  void run(const Image& image) {
    from_input(0, patch_embedding(geometry_[0], image));
  }

 protected:
  struct Kept {              // of a level
    Rows input, aggregated;  // before the position embedding; before the max-pool, of all pixels
    std::vector<std::array<Rows, 2>> layers;  // x before the layer, and after its attention
    size_t input_factors, output_factors, aggregated_factors;  // recorded before them
  };

  // The rest of the forward from one of a level's arrays on.
  void from_input(int i, Rows x) {
    const Level& level = geometry_[i];
    kept_[i].input = x;
    kept_[i].input_factors = factors();
    const std::string prefix = "levels." + std::to_string(i) + ".";
    const auto position = tensor(prefix + "pos_embed");
    for (size_t r = 0; r < x.size(); ++r)
      for (int c = 0; c < level.width; ++c) x[r][c] += position[r * level.width + c];
    for (int j = 0; j < level.depth; ++j) {
      const std::string layer = prefix + "transformer_encoder." + std::to_string(j) + ".";
      kept_[i].layers[j][0] = x;
      add(x, attention(level, layer + "attn.", norm(layer + "norm1", config_.norm_type, x)));
      kept_[i].layers[j][1] = x;
      Rows hidden = linear(layer + "mlp.fc1", norm(layer + "norm2", config_.norm_type, x));
      for (auto& row : hidden)
        for (double& value : row) value *= factor(gate(value));
      add(x, linear(layer + "mlp.fc2", hidden));
    }
    from_output(i, x);
  }
  void from_output(int i, Rows x) {
    kept_[i].output_factors = factors();
    levels.resize(i);
    levels.push_back(x);
    if (i + 1 < static_cast<int>(geometry_.size()))
      return from_aggregated(i + 1, aggregate(geometry_[i], geometry_[i + 1], x));
    from_final_norm(norm("norm", config_.norm_type, x));
  }
  void from_aggregated(int i, const Rows& plane) {
    kept_[i].aggregated = plane;
    kept_[i].aggregated_factors = factors();
    from_input(i, max_pool(geometry_[i - 1], geometry_[i], plane));
  }
  void from_final_norm(const Rows& x) {
    final_norm_ = x;
    Rows mean(1, std::vector<double>(x[0].size()));
    for (const auto& row : x)
      for (size_t c = 0; c < row.size(); ++c) mean[0][c] += row[c] / static_cast<double>(x.size());
    logits = linear("head", mean)[0];
  }

  // A factor that conservative propagation takes as constant: attention's weights, a norm's
  // 1/deviation, GELU's gate. While a tape is played, the recorded factors take their place.
  double factor(double value) const {
    if (!tape_) return value;
    if (!playing_) return tape_->push_back(value), value;
    return tape_->at(played_++);
  }
  size_t factors() const { return tape_ ? tape_->size() : 0; }

  std::vector<float> tensor(const std::string& name) const {
    return model_.tensors.at(name).to_f32();
  }

  // The row that holds the token at (y, x) of the plane.
  static int row_of(const Level& level, int y, int x) {
    const int block = y / level.edge * level.grid + x / level.edge;
    return block * level.tokens + y % level.edge * level.edge + x % level.edge;
  }

  static void add(Rows& x, const Rows& y) {
    for (size_t r = 0; r < x.size(); ++r)
      for (size_t c = 0; c < x[r].size(); ++c) x[r][c] += y[r][c];
  }

  // gelu(x) / x
  double gate(double x) const {
    if (config_.gelu == Gelu::kErf) return 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
    return 0.5 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }

  Rows linear(const std::string& name, const Rows& x) const {
    const auto weight = tensor(name + ".weight");
    const auto bias =
        model_.tensors.contains(name + ".bias") ? tensor(name + ".bias") : std::vector<float>();
    const size_t in = x[0].size(), out = weight.size() / in;
    Rows y(x.size(), std::vector<double>(out));
    for (size_t r = 0; r < x.size(); ++r)
      for (size_t o = 0; o < out; ++o) {
        double sum = bias.empty() ? 0 : bias[o];
        for (size_t i = 0; i < in; ++i) sum += weight[o * in + i] * x[r][i];
        y[r][o] = sum;
      }
    return y;
  }

  Rows norm(const std::string& name, Norm kind, Rows x) const {
    const auto gamma = tensor(name + ".weight"), beta = tensor(name + ".bias");
    const size_t C = x[0].size(), width = kind == Norm::kGroup ? C / 32 : C;
    const auto normalise = [&](size_t r0, size_t r1, size_t c0, size_t c1) {
      const double count = static_cast<double>((r1 - r0) * (c1 - c0));
      double mean = 0, variance = 0;
      for (size_t r = r0; r < r1; ++r)
        for (size_t c = c0; c < c1; ++c) mean += x[r][c] / count;
      for (size_t r = r0; r < r1; ++r)
        for (size_t c = c0; c < c1; ++c) variance += (x[r][c] - mean) * (x[r][c] - mean) / count;
      const double inverse = factor(1 / std::sqrt(variance + 1e-6));
      for (size_t r = r0; r < r1; ++r)
        for (size_t c = c0; c < c1; ++c) x[r][c] = (x[r][c] - mean) * inverse * gamma[c] + beta[c];
    };
    if (kind == Norm::kLayer)
      for (size_t r = 0; r < x.size(); ++r) normalise(r, r + 1, 0, C);
    if (kind == Norm::kGroup)
      for (size_t c = 0; c < C; c += width) normalise(0, x.size(), c, c + width);
    if (kind == Norm::kBatch) {
      const auto mean = tensor(name + ".running_mean"), variance = tensor(name + ".running_var");
      for (auto& row : x)
        for (size_t c = 0; c < C; ++c)
          row[c] = (row[c] - mean[c]) / std::sqrt(variance[c] + 1e-5) * gamma[c] + beta[c];
    }
    return x;
  }

  template <class Image>
  Rows patch_embedding(const Level& level, const Image& image) const {
    const auto weight = tensor("patch_embed.proj.weight"), bias = tensor("patch_embed.proj.bias");
    const int e = config_.init_patch_embed_size, channels = config_.in_channels,
              S = config_.image_size;
    Rows out(level.blocks * level.tokens, std::vector<double>(level.width));
    for (int y = 0; y < level.map(); ++y)
      for (int x = 0; x < level.map(); ++x)
        for (int o = 0; o < level.width; ++o) {
          double sum = bias[o];
          for (int i = 0; i < channels; ++i)
            for (int ky = 0; ky < e; ++ky)
              for (int kx = 0; kx < e; ++kx)
                sum += weight[((o * channels + i) * e + ky) * e + kx] *
                       image[(i * S + y * e + ky) * S + x * e + kx];
          out[row_of(level, y, x)][o] = sum;
        }
    return out;
  }

  // A row for each row of the level below.
  Rows aggregate(const Level& below, const Level& level, const Rows& in) const {
    return norm("levels." + std::to_string(level.index) + ".pool.norm", Norm::kLayer,
                convolved(below, level, in));
  }
  Rows convolved(const Level& below, const Level& level, const Rows& in) const {
    const std::string name = "levels." + std::to_string(level.index) + ".pool.";
    const auto weight = tensor(name + "conv.weight"), bias = tensor(name + "conv.bias");
    const int size = below.map();
    Rows plane(in.size(), std::vector<double>(level.width));
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x)
        for (int o = 0; o < level.width; ++o) {
          double sum = bias[o];
          for (int ky = 0; ky < 3; ++ky)
            for (int kx = 0; kx < 3; ++kx) {
              const int iy = y + ky - 1, ix = x + kx - 1;
              if (iy < 0 || ix < 0 || iy >= size || ix >= size) continue;
              const auto& pixel = in[row_of(below, iy, ix)];
              for (int i = 0; i < below.width; ++i)
                sum += weight[((o * below.width + i) * 3 + ky) * 3 + kx] * pixel[i];
            }
          plane[row_of(below, y, x)][o] = sum;
        }
    return plane;
  }

  // body(row of the result, row of the plane) for each pixel of each window, row by row.
  template <class Body>
  void each_pooled(const Level& below, const Level& level, const Body& body) const {
    const int size = below.map();
    // The plane's size is even, so SAME pads nothing before it.
    const int before = config_.pool_padding == PoolPadding::kSymmetric ? 1 : 0;
    for (int y = 0; y < size / 2; ++y)
      for (int x = 0; x < size / 2; ++x)
        for (int iy = 2 * y - before; iy < 2 * y - before + 3; ++iy)
          for (int ix = 2 * x - before; ix < 2 * x - before + 3; ++ix)
            if (iy >= 0 && ix >= 0 && iy < size && ix < size)
              body(row_of(level, y, x), row_of(below, iy, ix));
  }

  Rows max_pool(const Level& below, const Level& level, const Rows& plane) const {
    Rows out(level.blocks * level.tokens, std::vector<double>(level.width, -INFINITY));
    each_pooled(below, level, [&](int to, int from) {
      for (int c = 0; c < level.width; ++c) out[to][c] = std::max(out[to][c], plane[from][c]);
    });
    return out;
  }

  Rows attention(const Level& level, const std::string& name, const Rows& z) const {
    const int N = level.tokens, C = level.width, H = level.heads, D = level.head_dim;
    const bool multi_query = config_.attn_type == Attention::kMultiQuery;
    const Rows q = linear(name + (multi_query ? "q" : "qkv"), z);
    const Rows kv = multi_query ? linear(name + "kv", z) : q;
    Rows out(z.size(), std::vector<double>(C));
    for (int t = 0; t < level.blocks; ++t)
      for (int h = 0; h < H; ++h) {
        const int k = multi_query ? 0 : C + h * D,
                  v = multi_query ? D : 2 * C + h * D;  // columns of kv
        for (int n = 0; n < N; ++n) {
          std::vector<double> weights(N);
          for (int m = 0; m < N; ++m)
            for (int d = 0; d < D; ++d)
              weights[m] += q[t * N + n][h * D + d] * kv[t * N + m][k + d] / std::sqrt(D);
          const double largest = *std::max_element(weights.begin(), weights.end());
          double total = 0;
          for (double& weight : weights) total += weight = std::exp(weight - largest);
          for (int m = 0; m < N; ++m) {
            const double weight = factor(weights[m] / total);
            for (int d = 0; d < D; ++d)  // the projection's columns are d*H+h
              out[t * N + n][d * H + h] += weight * kv[t * N + m][v + d];
          }
        }
      }
    return linear(name + "proj", out);
  }

  const LoadedModel& model_;
  const NestConfig config_;
  const std::vector<Level> geometry_;
  std::vector<Kept> kept_;  // of each level, of the last run
  Rows final_norm_;
  std::vector<double>* tape_ = nullptr;
  bool playing_ = false;
  mutable size_t played_ = 0;
};

}  // namespace nestvit::testing
