// The gradients of NesT's logits, as slowly and plainly as they can be written: one image, double
// precision, an index for every number; an extension of reference_forward.h. A test compares it
// with differences of the forward.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/runtime/reference_forward.h"
#include "runtime/gradients.h"

namespace nestvit::testing {

class ReferenceBackward : public ReferenceForward {
 public:
  explicit ReferenceBackward(const LoadedModel& model) : ReferenceForward(model) {}

  struct Array {
    Rows values, gradient;  // [T * N][C]; of `aggregated` in the rows of the level below
  };
  struct LevelArrays {
    Array input, output, aggregated;
  };
  std::vector<LevelArrays> arrays;
  Array final_norm;
  std::vector<double> pixels;  // their gradient [channels, S, S]

  // Gradients of Y = sum over k of target[k] * logits[k] at `image`.
  void run(const std::vector<double>& image, const std::vector<double>& target,
           Propagation propagation) {
    conservative_ = propagation == Propagation::kConservative;
    image_ = image;
    target_ = target;
    recorded_.clear();
    tape_ = conservative_ ? &recorded_ : nullptr;
    ReferenceForward::run(image);
    tape_ = nullptr;
    backward();
  }

  double target_value() const {
    double y = 0;
    for (size_t k = 0; k < target_.size(); ++k) y += target_[k] * logits[k];
    return y;
  }

  // (Y at `change` - Y at -`change`) / (2 change), where an entry of an array of level i is
  // changed. Factors that conservative propagation takes as constant keep their values.
  enum class Where { kInput, kOutput, kAggregated, kFinalNorm };
  double difference(Where where, int i, size_t row, size_t column, double change) const {
    const auto value_at = [&](double added) {
      ReferenceBackward changed = playing();
      Rows x = where == Where::kInput        ? kept_[i].input
               : where == Where::kOutput     ? levels[i]
               : where == Where::kAggregated ? kept_[i].aggregated
                                             : final_norm_;
      x[row][column] += added;
      changed.played_ = where == Where::kInput        ? kept_[i].input_factors
                        : where == Where::kOutput     ? kept_[i].output_factors
                        : where == Where::kAggregated ? kept_[i].aggregated_factors
                                                      : recorded_.size();
      if (where == Where::kInput) changed.from_input(i, x);
      if (where == Where::kOutput) changed.from_output(i, x);
      if (where == Where::kAggregated) changed.from_aggregated(i, x);
      if (where == Where::kFinalNorm) changed.from_final_norm(x);
      return changed.target_value();
    };
    return (value_at(change) - value_at(-change)) / (2 * change);
  }
  double pixel_difference(size_t pixel, double change) const {
    const auto value_at = [&](double added) {
      ReferenceBackward changed = playing();
      std::vector<double> image = image_;
      image[pixel] += added;
      changed.ReferenceForward::run(image);
      return changed.target_value();
    };
    return (value_at(change) - value_at(-change)) / (2 * change);
  }

  // The smallest difference between the two largest values of a pooling window, relative to the
  // largest value of its plane: where it is below rounding, another forward may choose another
  // pixel.
  double smallest_gap() const {
    double smallest = INFINITY;
    for (size_t i = 1; i < geometry_.size(); ++i) {
      const Level& level = geometry_[i];
      const Rows& plane = kept_[i].aggregated;
      Rows first = no_rows(level, -INFINITY), second = first;
      double largest = 0;
      each_pooled(geometry_[i - 1], level, [&](int to, int from) {
        for (int c = 0; c < level.width; ++c) {
          const double value = plane[from][c];
          second[to][c] = std::max(second[to][c], std::min(value, first[to][c]));
          first[to][c] = std::max(first[to][c], value);
          largest = std::max(largest, std::abs(value));
        }
      });
      for (size_t r = 0; r < first.size(); ++r)
        for (int c = 0; c < level.width; ++c)
          smallest = std::min(smallest, (first[r][c] - second[r][c]) / largest);
    }
    return smallest;
  }

 private:
  // This, about to be run again with the factors of the last run.
  ReferenceBackward playing() const {
    ReferenceBackward copy = *this;
    copy.tape_ = conservative_ ? const_cast<std::vector<double>*>(&recorded_) : nullptr;
    copy.playing_ = true;
    copy.played_ = 0;
    return copy;
  }

  static Rows no_rows(const Level& level, double value = 0) {
    return Rows(level.blocks * level.tokens, std::vector<double>(level.width, value));
  }

  void backward() {
    arrays.assign(geometry_.size(), {});
    Rows dmean = back_linear("head", {target_});
    for (double& value : dmean[0]) value /= static_cast<double>(final_norm_.size());
    final_norm = {final_norm_, Rows(final_norm_.size(), dmean[0])};
    Rows d = back_norm("norm", config_.norm_type, levels.back(), final_norm.gradient);
    for (int i = static_cast<int>(geometry_.size()) - 1; i >= 0; --i) {
      arrays[i].output = {levels[i], d};
      for (int j = geometry_[i].depth - 1; j >= 0; --j) back_layer(geometry_[i], j, d);
      arrays[i].input = {kept_[i].input, d};
      if (i == 0) break;
      arrays[i].aggregated = {kept_[i].aggregated, back_max_pool(i, d)};
      d = back_aggregate(i, arrays[i].aggregated.gradient);
    }
    back_patch_embedding(d);
  }

  // y = x W^T: dx = dy W
  Rows back_linear(const std::string& name, const Rows& dy) const {
    const auto weight = tensor(name + ".weight");
    const size_t out = dy[0].size(), in = weight.size() / out;
    Rows dx(dy.size(), std::vector<double>(in));
    for (size_t r = 0; r < dy.size(); ++r)
      for (size_t o = 0; o < out; ++o)
        for (size_t k = 0; k < in; ++k) dx[r][k] += dy[r][o] * weight[o * in + k];
    return dx;
  }

  // With z = (x - mean) / s, y = z gamma + beta and a = dy gamma: dx = (a - mean(a) - z mean(a z))
  // / s; conservative: (a - mean(a)) / s.
  Rows back_norm(const std::string& name, Norm kind, const Rows& x, const Rows& dy) const {
    const auto gamma = tensor(name + ".weight");
    const size_t C = x[0].size(), width = kind == Norm::kGroup ? C / 32 : C;
    Rows dx = dy;
    const auto back = [&](size_t r0, size_t r1, size_t c0, size_t c1) {
      const auto mean_of = [&](const auto& value) {
        double sum = 0;
        for (size_t r = r0; r < r1; ++r)
          for (size_t c = c0; c < c1; ++c) sum += value(r, c);
        return sum / static_cast<double>((r1 - r0) * (c1 - c0));
      };
      const double mean = mean_of([&](size_t r, size_t c) { return x[r][c]; });
      const double variance =
          mean_of([&](size_t r, size_t c) { return (x[r][c] - mean) * (x[r][c] - mean); });
      const double s = std::sqrt(variance + 1e-6);
      const auto z = [&](size_t r, size_t c) { return (x[r][c] - mean) / s; };
      const auto a = [&](size_t r, size_t c) { return dy[r][c] * gamma[c]; };
      const double mean_a = mean_of(a);
      const double mean_az =
          conservative_ ? 0 : mean_of([&](size_t r, size_t c) { return a(r, c) * z(r, c); });
      for (size_t r = r0; r < r1; ++r)
        for (size_t c = c0; c < c1; ++c) dx[r][c] = (a(r, c) - mean_a - z(r, c) * mean_az) / s;
    };
    if (kind == Norm::kLayer)
      for (size_t r = 0; r < x.size(); ++r) back(r, r + 1, 0, C);
    if (kind == Norm::kGroup)
      for (size_t c = 0; c < C; c += width) back(0, x.size(), c, c + width);
    if (kind == Norm::kBatch) {
      const auto variance = tensor(name + ".running_var");
      for (auto& row : dx)
        for (size_t c = 0; c < C; ++c) row[c] *= gamma[c] / std::sqrt(variance[c] + 1e-5);
    }
    return dx;
  }

  void back_layer(const Level& level, int j, Rows& d) const {
    const std::string name =
        "levels." + std::to_string(level.index) + ".transformer_encoder." + std::to_string(j) + ".";
    const auto& [x, x1] = kept_[level.index].layers[j];
    const Rows h = linear(name + "mlp.fc1", norm(name + "norm2", config_.norm_type, x1));
    Rows dh = back_linear(name + "mlp.fc2", d);
    for (size_t r = 0; r < dh.size(); ++r)
      for (size_t c = 0; c < dh[r].size(); ++c) dh[r][c] *= gelu_slope(h[r][c]);
    add(d, back_norm(name + "norm2", config_.norm_type, x1, back_linear(name + "mlp.fc1", dh)));
    const Rows z = norm(name + "norm1", config_.norm_type, x);
    add(d, back_norm(name + "norm1", config_.norm_type, x,
                     back_attention(level, name + "attn.", z, d)));
  }

  double gelu_slope(double h) const {
    if (conservative_) return gate(h);
    const double pi = std::acos(-1.0);
    if (config_.gelu == Gelu::kErf) return gate(h) + h * std::exp(-h * h / 2) / std::sqrt(2 * pi);
    const double k = std::sqrt(2 / pi), t = std::tanh(k * (h + 0.044715 * h * h * h));
    return 0.5 * (1 + t) + 0.5 * h * (1 - t * t) * k * (1 + 3 * 0.044715 * h * h);
  }

  // O = A v with A = softmax(q k^T / sqrt(D)): dv = A^T dO; with dA = dO v^T and
  // dS = A (dA - sum(A dA)): dq = dS k / sqrt(D), dk = dS^T q / sqrt(D).
  Rows back_attention(const Level& level, const std::string& name, const Rows& z,
                      const Rows& dy) const {
    const int N = level.tokens, C = level.width, H = level.heads, D = level.head_dim;
    const bool multi_query = config_.attn_type == Attention::kMultiQuery;
    const Rows q = linear(name + (multi_query ? "q" : "qkv"), z);
    const Rows kv = multi_query ? linear(name + "kv", z) : q;
    const Rows dO = back_linear(name + "proj", dy);  // columns d*H+h
    Rows dq(z.size(), std::vector<double>(q[0].size()));
    Rows dkv(z.size(), std::vector<double>(kv[0].size()));
    for (int t = 0; t < level.blocks; ++t)
      for (int h = 0; h < H; ++h) {
        const int k = multi_query ? 0 : C + h * D, v = multi_query ? D : 2 * C + h * D;
        for (int n = t * N; n < (t + 1) * N; ++n) {
          std::vector<double> A(N), dA(N);
          double total = 0, dot = 0;
          for (int m = 0; m < N; ++m) {
            for (int d = 0; d < D; ++d) {
              A[m] += q[n][h * D + d] * kv[t * N + m][k + d] / std::sqrt(D);
              dA[m] += dO[n][d * H + h] * kv[t * N + m][v + d];
            }
            total += A[m] = std::exp(A[m]);
          }
          for (int m = 0; m < N; ++m) dot += (A[m] /= total) * dA[m];
          for (int m = 0; m < N; ++m)
            for (int d = 0; d < D; ++d) {
              dkv[t * N + m][v + d] += A[m] * dO[n][d * H + h];
              if (conservative_) continue;
              const double dS = A[m] * (dA[m] - dot) / std::sqrt(D);
              dq[n][h * D + d] += dS * kv[t * N + m][k + d];
              dkv[t * N + m][k + d] += dS * q[n][h * D + d];
            }
        }
      }
    if (multi_query) {
      Rows dz = back_linear(name + "q", dq);
      add(dz, back_linear(name + "kv", dkv));
      return dz;
    }
    add(dkv, dq);
    return back_linear(name + "qkv", dkv);
  }

  // The gradient goes to the first of the largest values of a window, row by row.
  Rows back_max_pool(int i, const Rows& dy) const {
    const Level &below = geometry_[i - 1], &level = geometry_[i];
    const Rows &plane = kept_[i].aggregated, &pooled = kept_[i].input;
    Rows d(plane.size(), std::vector<double>(level.width));
    std::vector<std::vector<bool>> given(dy.size(), std::vector<bool>(level.width));
    each_pooled(below, level, [&](int to, int from) {
      for (int c = 0; c < level.width; ++c) {
        if (given[to][c] || plane[from][c] != pooled[to][c]) continue;
        d[from][c] += dy[to][c];
        given[to][c] = true;
      }
    });
    return d;
  }

  Rows back_aggregate(int i, const Rows& dv) const {
    const Level &below = geometry_[i - 1], &level = geometry_[i];
    const std::string name = "levels." + std::to_string(i) + ".pool.";
    const auto weight = tensor(name + "conv.weight");
    const Rows d =
        back_norm(name + "norm", Norm::kLayer, convolved(below, level, levels[i - 1]), dv);
    Rows dx = no_rows(below);
    const int size = below.map();
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x)
        for (int ky = 0; ky < 3; ++ky)
          for (int kx = 0; kx < 3; ++kx) {
            const int iy = y + ky - 1, ix = x + kx - 1;
            if (iy < 0 || ix < 0 || iy >= size || ix >= size) continue;
            for (int o = 0; o < level.width; ++o)
              for (int k = 0; k < below.width; ++k)
                dx[row_of(below, iy, ix)][k] +=
                    d[row_of(below, y, x)][o] * weight[((o * below.width + k) * 3 + ky) * 3 + kx];
          }
    return dx;
  }

  void back_patch_embedding(const Rows& d) {
    const Level& level = geometry_[0];
    const int e = config_.init_patch_embed_size, channels = config_.in_channels,
              S = config_.image_size;
    const Rows patches = back_linear("patch_embed.proj", d);
    pixels.assign(image_.size(), 0);
    for (int y = 0; y < S; ++y)
      for (int x = 0; x < S; ++x)
        for (int i = 0; i < channels; ++i)
          pixels[(i * S + y) * S + x] =
              patches[row_of(level, y / e, x / e)][(i * e + y % e) * e + x % e];
  }

  bool conservative_ = false;
  std::vector<double> image_, target_, recorded_;
};

}  // namespace nestvit::testing
