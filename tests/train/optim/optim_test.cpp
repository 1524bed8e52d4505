// Optimisers against the formulas by hand.
#include "train/optim/optim.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "support/near_tensors.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "weights/model_dir.h"

namespace nestvit::train {
namespace {

// The default recipe with these keys changed.
Recipe with(const std::vector<std::pair<std::string, std::string>>& keys) {
  return apply(Recipe(), {"", keys});
}

NestConfig small(Norm norm = Norm::kLayer) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.image_size = 8;
  config.num_layers_per_block = {1, 1};
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.norm_type = norm;
  return config;
}

void fill(Nest& net, double value, double gradient) {
  torch::NoGradGuard no_grad;
  for (torch::Tensor& p : net->parameters()) {
    p.fill_(value);
    p.mutable_grad() = torch::full_like(p, gradient);
  }
}

// The largest distance of any parameter from `expected`.
double distance(const Nest& net, double expected) {
  double result = 0;
  for (const torch::Tensor& p : net->parameters())
    result = std::max(result, testing::largest(p - expected));
  return result;
}

int64_t count(const Nest& net) {
  int64_t values = 0;
  for (const torch::Tensor& p : net->parameters()) values += p.numel();
  return values;
}

TEST(Optim, FirstAdamWStepIsTheFormula) {
  Nest net(small());
  fill(net, 1, 0.5);
  Optimizer optimizer(*net, small(), {});
  const double norm = optimizer.step(1e-3);
  EXPECT_NEAR(norm, 0.5 * std::sqrt(static_cast<double>(count(net))), 1e-5 * norm);
  for (const auto& item : net->named_parameters()) {
    const bool position = item.key().find("pos_embed") != std::string::npos;
    // reference.md F.2: p=1, g=.5, lr=1e-3, wd=.05 -> 0.99895; position embeddings do not decay.
    // 6e-8: one rounding.
    EXPECT_LE(testing::largest(item.value() - (position ? 0.999 : 0.99895)), 6.1e-8) << item.key();
    EXPECT_FALSE(item.value().grad().defined()) << item.key();
  }
}

TEST(Optim, AdamFollowsTheFormulaForManySteps) {
  Nest net(small());
  Recipe config;
  config.optim_wd_ignore = {};
  config.weight_decay = 0.1;
  fill(net, 0.3, 0);
  Optimizer optimizer(*net, small(), config);
  double p = 0.3, m = 0, v = 0;
  for (int t = 1; t <= 50; ++t) {
    const double g = std::sin(t) * std::pow(10.0, t % 7 - 4), lr = 1e-2 / t;
    {
      torch::NoGradGuard no_grad;
      for (torch::Tensor& q : net->parameters()) q.mutable_grad() = torch::full_like(q, g);
    }
    optimizer.step(lr);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const auto corrected = [&](double beta) {  // in float32, as in the reference
      return double{1 - std::pow(static_cast<float>(beta), static_cast<float>(t))};
    };
    p -= lr * (m / corrected(0.9)) / (std::sqrt(v / corrected(0.999)) + 1e-8) + lr * 0.1 * p;
    // Each step rounds p once (values below 0.5: 3e-8) and the update a few times (relative 1e-6 of
    // at most lr).
    ASSERT_LE(distance(net, p), t * 3e-8 + 1e-6 * 1e-2) << "step " << t;
  }
}

TEST(Optim, SgdIsNesterovWithoutDecayInTheStep) {
  Nest net(small());
  fill(net, 1, 0.5);
  Optimizer optimizer(*net, small(), with({{"optim", "sgd"}, {"weight_decay", "0.1"}}));
  optimizer.step(0.1);  // buf 0.5, p = 1 - 0.1 * (0.5 + 0.45)
  EXPECT_LE(distance(net, 0.905), 1.2e-7);
  {
    torch::NoGradGuard no_grad;
    for (torch::Tensor& p : net->parameters()) p.mutable_grad() = torch::full_like(p, -1);
  }
  optimizer.step(0.1);  // buf = 0.45 - 1 = -0.55, p -= 0.1 * (-1 - 0.495)
  EXPECT_LE(distance(net, 1.0545), 2.4e-7);
}

TEST(Optim, ClippingScalesToTheNorm) {
  for (const double limit : {0.0, 0.25, 1e9}) {
    Nest net(small());
    fill(net, 0, 0.5);
    Optimizer optimizer(*net, small(),
                        with({{"optim", "sgd"},
                              {"weight_decay", "0"},
                              {"sgd_momentum", "0"},
                              {"grad_clip_max_norm", std::to_string(limit)}}));
    const double norm = 0.5 * std::sqrt(static_cast<double>(count(net)));
    EXPECT_NEAR(optimizer.step(1), norm, 1e-5 * norm);
    const double scale = limit == 0 ? 1 : std::min(1.0, limit / (norm + 1e-6));
    EXPECT_LE(distance(net, -0.5 * scale), 1e-5 * 0.5 * scale) << limit;
  }
}

// Values in arrays of more than one dimension in the official layout, written down per part (C 32,
// H 2, D 16, MLP 128, 64 pixels of 3 channels): the attention biases [H, D] count, the
// one-dimensional multi-query kv bias does not.
int64_t official_matrix_values(bool group_norm) {
  const int64_t layer = 32 * 32 + 32                  // query kernel and its [2, 16] bias
                        + 32 * 32                     // key and value kernel
                        + 32 * 32                     // proj_kernel
                        + 2 * 32 * 128                // MLP
                        + (group_norm ? 4 * 32 : 0);  // [1, 1, 1, 32] scales and biases
  return 3 * 32 + 2 * layer + 64 * 32 + 16 * 32 + 9 * 32 * 32 + 32 * 10 + (group_norm ? 2 * 32 : 0);
}

TEST(Optim, L2TermCountsByOfficialLayout) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    Nest net(small(norm));
    fill(net, 2, 0);
    const double expected =
        0.5 * 0.1 * 4 * static_cast<double>(official_matrix_values(norm == Norm::kGroup));
    for (const char* optim : {"adam", "sgd"}) {
      Optimizer optimizer(*net, small(norm), with({{"optim", optim}, {"weight_decay", "0.1"}}));
      EXPECT_NEAR(optimizer.l2_term().item<double>(), expected, 1e-5 * expected);
    }
    Optimizer adamw(*net, small(norm), with({{"weight_decay", "0.1"}}));
    EXPECT_EQ(adamw.l2_term().item<double>(), 0);
    EXPECT_EQ(adamw.l2_term().dim(), 0);
  }
}

TEST(Optim, L2TermCountsMultiHeadBiases) {
  NestConfig config = small();
  const auto l2 = [](const NestConfig& c) {
    Nest net(c);
    fill(net, 1, 0);
    Optimizer optimizer(*net, c, with({{"optim", "sgd"}, {"weight_decay", "2"}}));
    return optimizer.l2_term().item<double>();
  };
  config.attn_type = Attention::kMultiHead;
  NestConfig without = config;
  without.qkv_bias = false;
  EXPECT_EQ(l2(config) - l2(without), 2 * 3 * 32);  // two layers of [2, 16] and [2, 32]
}

TEST(Optim, GroupsSayWhatDecays) {
  Nest net(small());
  const auto groups = Optimizer(*net, small(), {}).groups();
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_TRUE(groups[0].decayed);
  EXPECT_FALSE(groups[1].decayed);
  EXPECT_EQ(groups[1].tensors, 2);  // the position embeddings
  EXPECT_EQ(groups[1].values, 64 * 32 + 16 * 32);
  EXPECT_EQ(groups[0].values + groups[1].values, count(net));
  const auto sgd = Optimizer(*net, small(), with({{"optim", "sgd"}})).groups();
  ASSERT_EQ(sgd.size(), 2U);
  EXPECT_EQ(sgd[0].values, official_matrix_values(false));
  const auto none = Optimizer(*net, small(), with({{"weight_decay", "0"}})).groups();
  ASSERT_EQ(none.size(), 1U);
  EXPECT_FALSE(none[0].decayed);
}

TEST(Optim, TimmsGroupsLeaveOutBiasesAndNorms) {
  const NestConfig config = variant("nest_tiny_s196_224");
  Nest net(config);
  Recipe settings;
  settings.weight_decay_exclude_1d = true;
  int64_t decayed = 0;
  for (const ParameterGroup& group : Optimizer(*net, config, settings).groups())
    if (group.decayed) decayed += group.tensors;
  // Of 12 layers qkv, proj, fc1, fc2; two convolutions, the patch embedding, the head.
  EXPECT_EQ(decayed, 12 * 4 + 2 + 1 + 1);
}

TEST(Optim, NoNumberInTheGradientsChangesNothing) {
  const NestConfig config = variant("nest_tiny_s16_32");
  Nest net(config);
  load_tensors(*net, initial_tensors(config, 1));
  Optimizer optimizer(*net, config, {});
  const TensorMap before = export_tensors(*net);
  for (torch::Tensor& p : net->parameters()) p.mutable_grad() = torch::full_like(p, INFINITY);
  EXPECT_FALSE(std::isfinite(optimizer.step(0.1, 0.5)));
  for (const auto& [name, tensor] : export_tensors(*net))
    EXPECT_EQ(tensor.to_f32(), before.at(name).to_f32()) << name;
  EXPECT_EQ(optimizer.state().at("step").as<int64_t>()[0], 0);
  for (const torch::Tensor& p : net->parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST(Optim, AMissingGradientCountsAsZero) {
  Nest net(small());
  fill(net, 1, 0.5);
  net->parameters()[0].mutable_grad() = torch::Tensor();
  Optimizer optimizer(*net, small(), {});
  optimizer.step(1e-3);
  EXPECT_LE(testing::largest(net->parameters()[0] - (1 - 1e-3 * 0.05)), 6.1e-8);
}

void random_gradients(Nest& net) {
  for (torch::Tensor& p : net->parameters()) p.mutable_grad() = torch::randn_like(p);
}

TEST(Optim, LayerDecayScalesTheWholeUpdate) {
  for (const std::string optim : {"adamw", "sgd"}) {
    Nest net(small());
    fill(net, 1, 0.5);
    Optimizer optimizer(*net, small(),
                        with({{"optim", optim}, {"weight_decay", "0.05"}, {"layer_decay", "0.5"}}));
    optimizer.step(1e-3);
    // reference.md F.2, times 0.5 for every layer below the head: patch embedding 0, one encoder
    // layer in each of two levels 1 and 2, head 3.
    for (const auto& [name, share] : {std::pair{"patch_embed.proj.weight", 0.125},
                                      {"levels.0.transformer_encoder.0.mlp.fc1.weight", 0.25},
                                      {"levels.1.pool.conv.weight", 0.5},
                                      {"norm.weight", 0.5},
                                      {"head.weight", 1.0}}) {
      const double update = optim == "sgd" ? 1e-3 * (0.5 + 0.45) : 1e-3 * (1 + 0.05);
      EXPECT_LE(testing::largest(net->named_parameters()[name] - (1 - share * update)), 6.1e-8)
          << name;
    }
    std::vector<double> shares;
    for (const ParameterGroup& group : optimizer.groups()) shares.push_back(group.share);
    EXPECT_TRUE(std::is_sorted(shares.rbegin(), shares.rend()));
    EXPECT_EQ(std::set<double>(shares.begin(), shares.end()),
              (std::set<double>{0.125, 0.25, 0.5, 1}));
  }
}

TEST(Optim, FrozenParametersRestAndKeepNoState) {
  for (const char* optim : {"adamw", "adam", "sgd"}) {
    torch::manual_seed(3);
    Nest net(small());
    {
      torch::NoGradGuard no_grad;
      for (torch::Tensor& p : net->parameters()) p.normal_();
    }
    const TensorMap before = export_tensors(*net);
    const Recipe config =
        with({{"optim", optim}, {"weight_decay", "0.1"}, {"freeze", "[backbone]"}});
    Optimizer optimizer(*net, small(), config);
    for (int i = 0; i < 3; ++i) {
      const torch::Tensor logits = net->forward(torch::randn({2, 3, 8, 8}));
      (logits.square().mean() + optimizer.l2_term()).backward();
      EXPECT_GT(optimizer.step(1e-2), 0);
    }
    for (const auto& [name, tensor] : export_tensors(*net))
      EXPECT_EQ(tensor.to_f32() == before.at(name).to_f32(), !name.starts_with("head.")) << name;
    for (const auto& item : net->named_parameters())
      EXPECT_EQ(item.value().requires_grad(), item.key().starts_with("head.")) << item.key();
    for (const auto& [name, _] : optimizer.state())
      EXPECT_TRUE(name == "step" || name.starts_with("head.")) << name;

    Nest other(small());
    Optimizer again(*other, small(), config);
    EXPECT_NO_THROW(again.load_state(optimizer.state()));
    Optimizer whole(*other, small(), with({{"optim", optim}}));
    EXPECT_THROW(whole.load_state(optimizer.state()), Error);
  }
}

// The L2 term of frozen weights is a constant: it is left out of the loss.
TEST(Optim, L2TermLeavesFrozenWeightsOut) {
  Nest net(small());
  fill(net, 2, 0);
  Optimizer optimizer(*net, small(),
                      with({{"optim", "sgd"}, {"weight_decay", "0.1"}, {"freeze", "[backbone]"}}));
  EXPECT_NEAR(optimizer.l2_term().item<double>(), 0.5 * 0.1 * 4 * 32 * 10, 1e-4);
}

TEST(Optim, StateRoundTripLosesNothing) {
  for (const char* optim : {"adamw", "adam", "sgd"}) {
    torch::manual_seed(1);
    Nest a(small()), b(small());
    fill(a, 0.1, 0);
    const Recipe recipe = with({{"optim", optim}});
    Optimizer first(*a, small(), recipe), second(*b, small(), recipe);
    for (int i = 0; i < 3; ++i) {
      random_gradients(a);
      first.step(1e-2);
    }
    load_tensors(*b, export_tensors(*a));
    second.load_state(first.state());
    torch::manual_seed(2);
    random_gradients(a);
    torch::manual_seed(2);
    random_gradients(b);
    first.step(1e-2);
    second.step(1e-2);
    for (size_t i = 0; i < a->parameters().size(); ++i)
      EXPECT_TRUE(torch::equal(a->parameters()[i], b->parameters()[i]));
    EXPECT_EQ(first.state().at("step").as<int64_t>()[0], 4);
  }
}

TEST(Optim, AStateThatDoesNotFitIsRefused) {
  Nest net(small());
  fill(net, 0.1, 0);
  Optimizer adam(*net, small(), {}), sgd(*net, small(), with({{"optim", "sgd"}}));
  EXPECT_THROW(adam.load_state(sgd.state()), Error);
  EXPECT_THROW(sgd.load_state(adam.state()), Error);
  TensorMap state = adam.state();
  state.erase("step");
  EXPECT_THROW(adam.load_state(state), Error);
  state["step"] = Tensor::i64({}, {-1});
  EXPECT_THROW(adam.load_state(state), Error);
  state["step"] = Tensor::f32({}, {3});
  EXPECT_THROW(adam.load_state(state), Error);
  state["step"] = Tensor::i64({}, {3});
  EXPECT_NO_THROW(adam.load_state(state));
  state["head.bias.exp_avg"] = Tensor::f32({9}, std::vector<float>(9));
  EXPECT_THROW(adam.load_state(state), Error);
  state = adam.state();
  state["something.exp_avg"] = Tensor::f32({1}, {0});
  EXPECT_THROW(adam.load_state(state), Error);
}

}  // namespace
}  // namespace nestvit::train
