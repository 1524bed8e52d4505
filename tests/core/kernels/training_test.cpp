// Every set of training kernels against definitions in double precision,
// for sizes with every remainder of a vector.
#include "kernels/training.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <vector>

#include "core/kernels/sets.h"
#include "kernels/dispatch.h"
#include "support/random_floats.h"

namespace nestvit::kernels {
namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();  // 2^-23, two roundings
constexpr float kNormEps = 1e-6f;

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

using nestvit::testing::random_floats;

Doubles wide(const Floats& x) { return {x.begin(), x.end()}; }

// d f / d x by central differences in double: exact to about 1e-9 for functions of order 1.
Doubles slopes(const std::function<double(const Doubles&)>& f, Doubles x) {
  constexpr double kStep = 1e-5;
  Doubles result;
  for (double& value : x) {
    const double middle = value;
    value = middle + kStep;
    const double above = f(x);
    value = middle - kStep;
    const double below = f(x);
    value = middle;
    result.push_back((above - below) / (2 * kStep));
  }
  return result;
}

// |got - want| <= roundings * 2^-23 * largest |want| for sums of `terms` products: each term may
// round a partial sum of that size, and most roundings cancel.
void expect_close(const Floats& got, const Doubles& want, int64_t terms, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 1;
  for (double value : want) largest = std::max(largest, std::fabs(value));
  const double bound = kEps * largest * (16 + static_cast<double>(terms));
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], bound) << what << " at " << i;
}

class Training : public nestvit::testing::SetTest<TrainingKernels> {
 protected:
  Training() : SetTest(training_kernels()) {}

  const TrainingKernels& k = kernel;
};

const std::vector<int64_t> kWidths = {1, 2, 3, 5, 8, 15, 16, 17, 33, 96, 192};

double norm_value(const Doubles& x, int64_t C, const Doubles& gamma, const Doubles& beta,
                  int64_t at) {
  const double* row = x.data() + at / C * C;
  double mean = 0, variance = 0;
  for (int64_t c = 0; c < C; ++c) mean += row[c] / static_cast<double>(C);
  for (int64_t c = 0; c < C; ++c) variance += std::pow(row[c] - mean, 2) / static_cast<double>(C);
  return (x[at] - mean) / std::sqrt(variance + double{kNormEps}) * gamma[at % C] + beta[at % C];
}

TEST_P(Training, LayerNorm) {
  constexpr int64_t kRows = 3;
  for (int64_t C : kWidths) {
    // One channel is always beta; 1/sigma, 1000 at variance 0, magnifies any rounding.
    if (C == 1) continue;
    // Values 3 apart, so that 1/sigma stays of order 1.
    Floats x = random_floats(kRows * C, C), gamma = random_floats(C, 1), beta = random_floats(C, 2);
    for (int64_t i = 0; i < kRows * C; ++i) x[i] += static_cast<float>(i % 2) * 3;
    Floats y(x.size());
    k.layer_norm(x.data(), kRows, C, gamma.data(), beta.data(), kNormEps, y.data());
    Doubles expected;
    for (int64_t i = 0; i < kRows * C; ++i)
      expected.push_back(norm_value(wide(x), C, wide(gamma), wide(beta), i));
    expect_close(y, expected, C, "layer norm of " + std::to_string(C));
  }
}

TEST_P(Training, LayerNormBackward) {
  constexpr int64_t kRows = 3;
  for (int64_t C : kWidths) {
    if (C == 1) continue;
    Floats x = random_floats(kRows * C, C), gamma = random_floats(C, 1), beta = random_floats(C, 2);
    for (int64_t i = 0; i < kRows * C; ++i) x[i] += static_cast<float>(i % 2) * 3;
    const Floats dy = random_floats(kRows * C, 3), skip = random_floats(kRows * C, 4);
    const auto loss = [&](const Doubles& xs, const Doubles& gs, const Doubles& bs) {
      double sum = 0;
      for (int64_t i = 0; i < kRows * C; ++i)
        sum += dy[i] * norm_value(xs, C, gs, bs, i) + skip[i] * xs[i];
      return sum;
    };
    Floats dx(x.size()), dgamma(gamma.size()), dbeta(beta.size());
    k.layer_norm_backward(x.data(), dy.data(), skip.data(), kRows, C, gamma.data(), kNormEps,
                          dx.data(), dgamma.data(), dbeta.data());
    const std::string what = " of layer norm of " + std::to_string(C);
    expect_close(
        dx, slopes([&](const Doubles& v) { return loss(v, wide(gamma), wide(beta)); }, wide(x)),
        2 * C, "dx" + what);
    expect_close(
        dgamma, slopes([&](const Doubles& v) { return loss(wide(x), v, wide(beta)); }, wide(gamma)),
        kRows + C, "dgamma" + what);
    expect_close(
        dbeta, slopes([&](const Doubles& v) { return loss(wide(x), wide(gamma), v); }, wide(beta)),
        kRows, "dbeta" + what);
    Floats in_place = dy;
    k.layer_norm_backward(x.data(), in_place.data(), skip.data(), kRows, C, gamma.data(), kNormEps,
                          in_place.data(), dgamma.data(), dbeta.data());
    EXPECT_EQ(in_place, dx);
  }
}

TEST_P(Training, BiasesBranchesAndSums) {
  constexpr int64_t kRows = 5;
  for (int64_t C : kWidths) {
    const Floats x = random_floats(kRows * C, 1), branch = random_floats(kRows * C, 2),
                 bias = random_floats(C, 3);
    Floats biased = x, joined(x.size()), scaled(x.size()), sum(bias), scaled_sum(bias);
    k.add_bias(biased.data(), kRows, C, bias.data());
    k.add_branch(x.data(), branch.data(), bias.data(), 1.25f, kRows, C, joined.data());
    k.scale_and_sum(x.data(), 1.25f, kRows, C, scaled.data(), scaled_sum.data());
    k.sum_rows(x.data(), kRows, C, sum.data());
    Doubles want_sum = wide(bias), want_scaled_sum = wide(bias), want_biased, want_joined,
            want_scaled;
    for (int64_t i = 0; i < kRows * C; ++i) {
      want_biased.push_back(double{x[i]} + bias[i % C]);
      want_joined.push_back(x[i] + 1.25 * (double{branch[i]} + bias[i % C]));
      want_scaled.push_back(1.25 * x[i]);
      want_sum[i % C] += x[i];
      want_scaled_sum[i % C] += 1.25 * x[i];
    }
    expect_close(biased, want_biased, 1, "add_bias");
    expect_close(joined, want_joined, 3, "add_branch");
    expect_close(scaled, want_scaled, 1, "scale_and_sum");
    expect_close(scaled_sum, want_scaled_sum, kRows, "scale_and_sum's sum");
    expect_close(sum, want_sum, kRows, "sum_rows");
  }
}

double gelu(double x, bool tanh) {
  if (!tanh) return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

TEST_P(Training, BiasGelu) {
  constexpr int64_t kRows = 7;
  for (const bool tanh : {false, true})
    for (int64_t C : kWidths) {
      const Floats x = random_floats(kRows * C, C, 3), bias = random_floats(C, 1),
                   weight = random_floats(kRows * C, 2);
      const auto loss = [&](const Doubles& v) {
        double sum = 0;
        for (int64_t i = 0; i < kRows * C; ++i) sum += weight[i] * gelu(v[i] + bias[i % C], tanh);
        return sum;
      };
      Floats y(x.size()), again(x.size()), dy = weight, dbias(bias.size());
      k.bias_gelu(x.data(), bias.data(), kRows, C, tanh, y.data());
      k.bias_gelu_backward(x.data(), bias.data(), kRows, C, tanh, again.data(), dy.data(),
                           dbias.data());
      Doubles want, want_dbias(bias.size());
      for (int64_t i = 0; i < kRows * C; ++i)
        want.push_back(gelu(double{x[i]} + bias[i % C], tanh));
      const Doubles want_dx = slopes(loss, wide(x));
      for (int64_t i = 0; i < kRows * C; ++i) want_dbias[i % C] += want_dx[i];
      expect_close(y, want, 1, "gelu");
      expect_close(again, want, 1, "gelu in the backward pass");
      expect_close(dy, want_dx, 1, "dx of gelu");
      expect_close(dbias, want_dbias, kRows, "dbias of gelu");
    }
}

// Far from 0, GELU is 0 or x and its slope 0 or 1, never NaN.
TEST_P(Training, GeluOfHugeValues) {
  for (const bool tanh : {false, true})
    for (const float huge : {50.0f, 1e10f, 1e18f}) {
      const Floats x = {huge, -huge}, bias = {0};
      Floats y(2), dy = {1, 1}, dbias(1);
      k.bias_gelu_backward(x.data(), bias.data(), 2, 1, tanh, y.data(), dy.data(), dbias.data());
      EXPECT_FLOAT_EQ(y[0], huge);
      EXPECT_NEAR(y[1] / huge, 0, 1e-20);
      EXPECT_NEAR(dy[0], 1, kEps);
      EXPECT_NEAR(dy[1], 0, kEps);
    }
}

struct Heads {
  AttentionShape shape;
  Floats qkv;  // [N, ld]: q, k, v
  int64_t k_column() const { return shape.heads * shape.head_dim; }
  int64_t v_column() const { return k_column() + shape.kv_heads * shape.head_dim; }
};

Heads random_heads(int64_t N, int64_t H, int64_t D, int64_t kv_heads) {
  const int64_t width = (H + 2 * kv_heads) * D + 3;  // rows are 3 longer than q, k and v
  return {{N, H, D, kv_heads, width, H * D + 2},
          random_floats(N * width, static_cast<uint64_t>(N * 100 + D))};
}

// [N, H*D]
Doubles attend(const Heads& heads, const Doubles& qkv) {
  const auto& [N, H, D, kv_heads, ld, _] = heads.shape;
  Doubles out(N * H * D), p(N);
  for (int64_t h = 0; h < H; ++h)
    for (int64_t i = 0; i < N; ++i) {
      const int64_t kv = kv_heads == 1 ? 0 : h * D;
      double sum = 0;
      for (int64_t j = 0; j < N; ++j) {
        double dot = 0;
        for (int64_t d = 0; d < D; ++d)
          dot += qkv[i * ld + h * D + d] * qkv[j * ld + heads.k_column() + kv + d];
        p[j] = std::exp(dot / std::sqrt(static_cast<double>(D)));
        sum += p[j];
      }
      for (int64_t j = 0; j < N; ++j)
        for (int64_t d = 0; d < D; ++d)
          out[(i * H + h) * D + d] += p[j] / sum * qkv[j * ld + heads.v_column() + kv + d];
    }
  return out;
}

std::vector<Heads> shapes() {
  std::vector<Heads> all;
  for (int64_t N : {1, 4, 9, 16, 17})
    for (int64_t D : {1, 5, 16, 32}) all.push_back(random_heads(N, 2, D, N % 2 == 0 ? 1 : 2));
  all.push_back(random_heads(33, 3, 8, 1));
  return all;
}

Floats trimmed(const Floats& out, const AttentionShape& s) {
  Floats result;
  for (int64_t n = 0; n < s.tokens; ++n)
    result.insert(result.end(), out.begin() + n * s.ld_out,
                  out.begin() + n * s.ld_out + s.heads * s.head_dim);
  return result;
}

TEST_P(Training, Attention) {
  for (const Heads& heads : shapes()) {
    const AttentionShape& s = heads.shape;
    Floats out(s.tokens * s.ld_out, 7.0f), scratch(attention_scratch(s), NAN);
    const float* q = heads.qkv.data();
    k.attention(s, q, q + heads.k_column(), q + heads.v_column(), out.data(), scratch.data());
    expect_close(trimmed(out, s), attend(heads, wide(heads.qkv)), s.head_dim + s.tokens,
                 "attention of " + std::to_string(s.tokens) + " tokens");
    for (int64_t n = 0; n < s.tokens; ++n)  // beside the output nothing is written
      EXPECT_EQ(out[n * s.ld_out + s.heads * s.head_dim], 7.0f);
  }
}

TEST_P(Training, AttentionBackward) {
  for (const Heads& heads : shapes()) {
    const AttentionShape& s = heads.shape;
    const int64_t width = s.heads * s.head_dim;
    const Floats dout = random_floats(s.tokens * s.ld_out, 9);
    const auto loss = [&](const Doubles& qkv) {
      const Doubles out = attend(heads, qkv);
      double sum = 0;
      for (int64_t i = 0; i < s.tokens * width; ++i)
        sum += dout[i / width * s.ld_out + i % width] * out[i];
      return sum;
    };
    Floats grad(heads.qkv.size(), 0), scratch(attention_scratch(s), NAN);
    const float* q = heads.qkv.data();
    float* dq = grad.data();
    k.attention_backward(s, q, q + heads.k_column(), q + heads.v_column(), dout.data(), dq,
                         dq + heads.k_column(), dq + heads.v_column(), scratch.data());
    expect_close(grad, slopes(loss, wide(heads.qkv)), 2 * (s.head_dim + s.tokens) * s.heads,
                 "gradient of attention of " + std::to_string(s.tokens) + " tokens");
    Floats alone(grad.size(), 0);
    k.attention_backward(s, q, q + heads.k_column(), q + heads.v_column(), dout.data(), nullptr,
                         nullptr, alone.data() + heads.v_column(), scratch.data());
    for (size_t i = 0; i < grad.size(); ++i) {
      const bool is_v = static_cast<int64_t>(i) % s.ld >= heads.v_column();
      EXPECT_EQ(alone[i], is_v ? grad[i] : 0.0f) << "dv alone, at " << i;
    }
  }
}

TEST_P(Training, Adam) {
  for (int64_t count : {1, 15, 16, 17, 100}) {
    const Floats g = random_floats(count, 1);
    Floats m = random_floats(count, 2), v = random_floats(count, 3), p = random_floats(count, 4);
    for (float& value : v) value = std::fabs(value);
    const AdamStep s{.beta1 = 0.9f,
                     .beta2 = 0.99f,
                     .eps = 1e-8f,
                     .one_minus_beta1 = 0.1f,
                     .one_minus_beta2 = 0.01f,
                     .correction1 = 0.19f,
                     .correction2 = 0.02f,
                     .rate = 1e-2f,
                     .decay = 1e-4f};
    Doubles want_m, want_v, want_p;
    for (int64_t i = 0; i < count; ++i) {
      want_m.push_back(double{s.beta1} * m[i] + double{s.one_minus_beta1} * g[i]);
      want_v.push_back(double{s.beta2} * v[i] + double{s.one_minus_beta2} * g[i] * g[i]);
      const double root = std::sqrt(want_v[i] / s.correction2) + s.eps;
      want_p.push_back(p[i] - s.rate * (want_m[i] / s.correction1) / root - double{s.decay} * p[i]);
    }
    k.adam(s, count, g.data(), m.data(), v.data(), p.data());
    expect_close(m, want_m, 1, "m");
    expect_close(v, want_v, 1, "v");
    expect_close(p, want_p, 1, "p");
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Training, nestvit::testing::f32_sets(), nestvit::testing::set_name);

}  // namespace
}  // namespace nestvit::kernels
