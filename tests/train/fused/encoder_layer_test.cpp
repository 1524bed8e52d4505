// The fused encoder layer against a layer of libtorch operations in double precision, and in the
// model against the plain layers.
#include "train/fused/encoder_layer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "support/near_tensors.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "train/optim/amp.h"
#include "train/optim/loss.h"
#include "train/optim/optim.h"
#include "weights/model_dir.h"

namespace nestvit::train {
namespace {

using testing::expect_near;
using torch::Tensor;

// A sum of a few hundred products rounds by some 2^-23 of the largest term, and the layer has five
// products in a row, forward and backward. Gradient goldens are allowed 1e-4.
constexpr double kTolerance = 2e-5;

struct Case {
  const char* name;
  int64_t images, blocks, tokens, width, heads, kv_heads;
  bool tanh, drop_path, qkv_bias = true;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> cases() {
  return {
      {"cifar", 3, 64, 16, 64, 2, 2, true, true},
      {"multi_query", 3, 16, 16, 64, 2, 1, true, true},
      {"imagenet", 2, 4, 196, 96, 3, 3, false, false},
      {"one_block", 5, 1, 49, 48, 4, 4, false, true},
      {"odd", 2, 4, 9, 30, 5, 1, false, true, false},
      {"one_token", 1, 1, 1, 8, 1, 1, true, false},
  };
}

// The layer's tensors, and x first: [x, parameters].
std::vector<Tensor> random_inputs(const Case& c) {
  torch::manual_seed(3);
  const int64_t C = c.width, W = C + 2 * c.kv_heads * C / c.heads, M = 4 * C;
  const auto matrix = [](int64_t out, int64_t in) {
    return torch::randn({out, in}) / std::sqrt(static_cast<double>(in));
  };
  const auto vector = [](int64_t size, double centre) {
    return 0.2 * torch::randn({size}) + centre;
  };
  return {torch::randn({c.images, c.blocks, c.tokens, C}),
          vector(C, 1),
          vector(C, 0),
          matrix(W, C),
          vector(W, 0),
          matrix(C, C),
          vector(C, 0),
          vector(C, 1),
          vector(C, 0),
          matrix(M, C),
          vector(M, 0),
          matrix(C, M),
          vector(C, 0)};
}

FusedLayer layer_of(const Case& c, const std::vector<Tensor>& t) {
  FusedLayer layer{.norm1_weight = t[1],
                   .norm1_bias = t[2],
                   .qkv_weight = t[3],
                   .qkv_bias = t[4],
                   .proj_weight = t[5],
                   .proj_bias = t[6],
                   .norm2_weight = t[7],
                   .norm2_bias = t[8],
                   .fc1_weight = t[9],
                   .fc1_bias = t[10],
                   .fc2_weight = t[11],
                   .fc2_bias = t[12],
                   .keep1 = {},
                   .keep2 = {},
                   .heads = c.heads,
                   .kv_heads = c.kv_heads,
                   .tanh_gelu = c.tanh};
  if (!c.drop_path) return layer;
  layer.keep1 = torch::arange(c.images, torch::kFloat32).remainder(2) * 1.25;  // 0, 1.25, 0, ..
  layer.keep2 = torch::arange(1, c.images + 1, torch::kFloat32).remainder(3);  // 1, 2, 0, ..
  return layer;
}

// EncoderLayer of nest.cpp in the tensors' own type.
Tensor plain_layer(const Tensor& input, const FusedLayer& l) {
  const int64_t C = input.size(3), N = input.size(2), D = C / l.heads;
  const auto keep = [&](const Tensor& factor, const Tensor& branch) {
    return factor.defined() ? branch * factor.view({-1, 1, 1, 1}).to(branch.dtype()) : branch;
  };
  const auto norm = [&](const Tensor& z, const Tensor& weight, const Tensor& bias) {
    return torch::layer_norm(z, {C}, weight, bias, 1e-6);
  };
  const auto parts =
      torch::linear(norm(input, l.norm1_weight, l.norm1_bias), l.qkv_weight, l.qkv_bias)
          .split_with_sizes({C, l.kv_heads * D, l.kv_heads * D}, -1);
  const auto heads = [&](const Tensor& z, int64_t count) {  // [B*T, H or 1, N, D]
    return z.reshape({-1, N, count, D}).transpose(1, 2);
  };
  const Tensor scores =
      torch::matmul(heads(parts[0], l.heads), heads(parts[1], l.kv_heads).transpose(2, 3)) /
      std::sqrt(static_cast<double>(D));
  const Tensor mixed = torch::matmul(torch::softmax(scores, -1), heads(parts[2], l.kv_heads))
                           .transpose(1, 2)
                           .reshape(input.sizes());
  const Tensor x = input + keep(l.keep1, torch::linear(mixed, l.proj_weight, l.proj_bias));
  const Tensor hidden =
      torch::gelu(torch::linear(norm(x, l.norm2_weight, l.norm2_bias), l.fc1_weight, l.fc1_bias),
                  l.tanh_gelu ? "tanh" : "none");
  return x + keep(l.keep2, torch::linear(hidden, l.fc2_weight, l.fc2_bias));
}

struct Result {
  Tensor y;
  std::vector<Tensor> gradients;
};

template <typename Forward>
Result run(const Case& c, std::vector<Tensor> tensors, const Forward& forward) {
  for (Tensor& t : tensors) t = t.detach().clone().set_requires_grad(true);
  const Tensor y = forward(tensors[0], layer_of(c, tensors));
  torch::manual_seed(4);
  const Tensor weights = torch::randn(y.sizes());
  (y * weights.to(y.dtype())).sum().backward();
  Result result{y.detach(), {}};
  for (const Tensor& t : tensors) result.gradients.push_back(t.grad());
  return result;
}

class Fused : public ::testing::TestWithParam<Case> {};

TEST_P(Fused, EqualsDoublePrecision) {
  const Case& c = GetParam();
  const std::vector<Tensor> inputs = random_inputs(c);
  std::vector<Tensor> wide;
  for (const Tensor& t : inputs) wide.push_back(t.to(torch::kFloat64));
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    const Result got = run(c, inputs, encoder_layer), want = run(c, wide, plain_layer);
    expect_near(got.y.to(torch::kFloat64), want.y, kTolerance, "output");
    for (size_t i = 0; i < inputs.size(); ++i)
      expect_near(got.gradients[i].to(torch::kFloat64), want.gradients[i], kTolerance,
                  "gradient of input " + std::to_string(i),
                  /*floor=*/kTolerance * testing::largest(want.gradients[0]));
  }
}

TEST_P(Fused, SameThreadsSameBits) {
  at::set_num_threads(2);
  const Case& c = GetParam();
  const Result first = run(c, random_inputs(c), encoder_layer),
               second = run(c, random_inputs(c), encoder_layer);
  EXPECT_TRUE(torch::equal(first.y, second.y));
  for (size_t i = 0; i < first.gradients.size(); ++i)
    EXPECT_TRUE(torch::equal(first.gradients[i], second.gradients[i])) << i;
}

// Under autocast the products of the linear layers round their operands by 2^-9 at most. An entry
// is a sum of many such errors of either sign, so it is off by about 2^-9 of the typical entry; ten
// products in a row, forward and backward, multiply that by a few.
TEST_P(Fused, Bf16IsCloseToDoublePrecision) {
  if (!kernels::bf16_kernels_pay()) GTEST_SKIP() << "needs AVX512_BF16 without AMX_BF16";
  at::set_num_threads(2);
  const Case& c = GetParam();
  const std::vector<Tensor> inputs = random_inputs(c);
  std::vector<Tensor> wide;
  for (const Tensor& t : inputs) wide.push_back(t.to(torch::kFloat64));
  const Result want = run(c, wide, plain_layer), single = run(c, inputs, encoder_layer);
  const Result got = run(c, inputs, [](const Tensor& x, const FusedLayer& layer) {
    const Autocast autocast(Amp::kBf16);
    EXPECT_TRUE(fused_covers(x));
    return encoder_layer(x, layer);
  });
  constexpr double kBf16 = 1.0 / 512;
  EXPECT_FALSE(torch::equal(got.y, single.y)) << "computed in f32";
  expect_near(got.y.to(torch::kFloat64), want.y, 4 * kBf16, "output");
  for (size_t i = 0; i < inputs.size(); ++i)
    expect_near(got.gradients[i].to(torch::kFloat64), want.gradients[i], 8 * kBf16,
                "gradient of input " + std::to_string(i),
                /*floor=*/kBf16 * testing::largest(want.gradients[0]));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Fused, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& c) { return c.param.name; });

// A branch that drop-path drops for an image is not computed: a NaN in it does not show.
TEST(FusedModel, ADroppedBranchIsNotComputed) {
  const Case c{"", 2, 16, 16, 32, 2, 2, true, true};
  const std::vector<Tensor> inputs = random_inputs(c);
  FusedLayer layer = layer_of(c, inputs);
  layer.keep1 = layer.keep2 = torch::tensor({0.0f, 1.0f});
  layer.fc1_bias = torch::full_like(layer.fc1_bias, NAN);
  const Tensor y = encoder_layer(inputs[0], layer);
  EXPECT_TRUE(torch::equal(y[0], inputs[0][0]));
  EXPECT_TRUE(y[1].isnan().all().item<bool>());
}

NestConfig small_model() {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_layers_per_block = {1, 1, 1, 1};
  config.embedding_dim = 24;
  config.num_heads = 3;
  config.stochastic_depth_drop = 0.5;
  return config;
}

struct Step {
  double loss;
  std::vector<Tensor> gradients;
};

Step training_step(const NestConfig& config, bool fused) {
  torch::manual_seed(5);
  Nest net(config);
  load_tensors(*net, initial_tensors(config, 1));
  net->use_fused(fused);
  const Tensor images = torch::randn({4, 3, 32, 32});
  const Tensor targets = torch::softmax(torch::randn({4, config.num_classes}), 1);
  const Tensor loss = soft_cross_entropy(net->forward(images), targets);
  loss.backward();
  Step step{loss.item<double>(), {}};
  for (const Tensor& p : net->parameters()) step.gradients.push_back(p.grad());
  return step;
}

// The same drop-path draws, the same loss, the same gradients.
TEST(FusedModel, EqualsPlainModel) {
  for (const Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
    for (const bool bias : {true, false}) {
      NestConfig config = small_model();
      config.attn_type = attention;
      config.qkv_bias = bias;
      const Step plain = training_step(config, false), fused = training_step(config, true);
      EXPECT_NEAR(fused.loss, plain.loss, kTolerance * plain.loss);
      for (size_t i = 0; i < plain.gradients.size(); ++i)
        expect_near(fused.gradients[i], plain.gradients[i], kTolerance,
                    "gradient " + std::to_string(i), /*floor=*/1e-6);
    }
}

// Layers with dropout or other norms stay plain: the same bits with and without use_fused().
TEST(FusedModel, LeavesDropoutAndOtherNormsAlone) {
  NestConfig attention_drop = small_model(), drop = small_model(), norm = small_model();
  attention_drop.attn_drop = 0.1;
  drop.proj_drop = 0.1;
  norm.norm_type = Norm::kBatch;
  for (const NestConfig& config : {attention_drop, drop, norm})
    EXPECT_EQ(training_step(config, true).loss, training_step(config, false).loss);
}

// In double precision Optimizer updates by libtorch's operations, each over all parameters.
TEST(FusedAdam, EqualsTheSeparateOperations) {
  constexpr int kSteps = 5;
  const NestConfig config = small_model();
  Nest net(config), wide(config);
  for (Nest* each : {&net, &wide}) load_tensors(**each, initial_tensors(config, 1));
  wide->to(torch::kFloat64);
  Recipe settings;
  settings.weight_decay = 0.1;
  settings.layer_decay = 0.9;
  Optimizer fused(*net, config, settings), separate(*wide, config, settings);
  const std::vector<Tensor> values = net->parameters(), expected = wide->parameters();
  for (int step = 0; step < kSteps; ++step) {
    for (size_t i = 0; i < values.size(); ++i) {
      const Tensor gradient = torch::randn(values[i].sizes());
      values[i].mutable_grad() = gradient;
      expected[i].mutable_grad() = gradient.to(torch::kFloat64);
    }
    fused.step(0.01);
    separate.step(0.01);
  }
  // Up to 16 operations a step, each of which rounds its result by half of 2^-23.
  constexpr double kRounding = kSteps * 16 * 0.5 * std::numeric_limits<float>::epsilon();
  for (size_t i = 0; i < values.size(); ++i)
    expect_near(values[i].detach().to(torch::kFloat64), expected[i].detach(), kRounding,
                "parameter " + std::to_string(i));
}

TEST(FusedModel, TakesWhatItComputes) {
  const Tensor x = torch::zeros({1, 1, 1, 1});
  EXPECT_TRUE(fused_covers(x));
  EXPECT_FALSE(fused_covers(x.to(torch::kFloat64)));
  {
    const Autocast autocast(Amp::kBf16);
    EXPECT_EQ(fused_covers(x), kernels::bf16_kernels_pay());
    EXPECT_FALSE(fused_covers(x.to(torch::kBFloat16)));
  }
  const Autocast autocast(Amp::kFp16);
  EXPECT_FALSE(fused_covers(x));
}

}  // namespace
}  // namespace nestvit::train
