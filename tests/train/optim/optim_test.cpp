// Optimisers against the official ten-step trajectories, and against the formulas by hand.
#include "train/optim/optim.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <set>

#include "run/recipe/schedule.h"
#include "support/golden_model.h"
#include "support/near_tensors.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "train/optim/loss.h"
#include "weights/model_dir.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using testing::golden_json;
using testing::golden_root;

Optim optim_named(const std::string& name) {
  if (name == "adamw") return Optim::kAdamW;
  if (name == "adam") return Optim::kAdam;
  if (name == "sgd") return Optim::kSgd;
  throw std::runtime_error("the goldens have an optimiser " + name);
}

// Which entries of a Flax array the trajectory determines. The key half of a key/value bias has a
// gradient that is mathematically 0, so Adam turns rounding noise into whole steps there (goldens
// README).
torch::Tensor determined(const std::string& name, const torch::Tensor& array) {
  torch::Tensor mask = torch::ones_like(array, torch::kBool);
  static const std::regex kKeyValueBias(
      R"(.*(MultiHeadAttention_0/DenseGeneral_1|MultiQueryAttention_0/Dense_0)/bias.*)");
  if (std::regex_match(name, kKeyValueBias)) mask.narrow(-1, 0, array.size(-1) / 2).fill_(false);
  return mask;
}

// What a run differs in from the golden one; empty when it follows.
using Differences = std::vector<std::string>;

void compare(Differences& differences, const std::string& what, double got, double want,
             double tolerance) {
  if (!(std::abs(got - want) <= tolerance))
    differences.push_back(
        fmt::format("{}: got {}, expected {} within {}", what, got, want, tolerance));
}

void compare_parameters(Differences& differences, const TensorMap& got, const TensorMap& want,
                        bool adam, const std::string& what) {
  for (const auto& [name, expected] : want) {
    const torch::Tensor reference = to_torch(expected);
    torch::Tensor error = (to_torch(find_tensor(got, name, what)) - reference).abs();
    if (adam) error = error.masked_select(determined(name, reference));
    compare(differences, what + " " + name + ", largest", error.max().item<double>(), 0,
            adam ? 2e-3 : 2e-5);
    compare(differences, what + " " + name + ", mean", error.mean().item<double>(), 0,
            adam ? 5e-5 : 2e-5);
  }
}

// Moments are averages of gradients and of their squares: the gradients' tolerance, once and twice.
void compare_moments(Differences& differences, const TensorMap& state, const NestConfig& config,
                     const TensorMap& want) {
  TensorMap first, second;
  for (const auto& [name, tensor] : state) {
    if (name.ends_with(".exp_avg")) first[name.substr(0, name.size() - 8)] = tensor;
    if (name.ends_with(".exp_avg_sq")) second[name.substr(0, name.size() - 11)] = tensor;
  }
  first = to_flax(first, config);
  second = to_flax(second, config);
  for (const auto& [name, expected] : want) {
    const bool squares = name.ends_with("/grad_sq_ema");
    const std::string array = name.substr(0, name.rfind('/'));
    const torch::Tensor reference = to_torch(expected), mask = determined(array, reference);
    const torch::Tensor got = to_torch(find_tensor(squares ? second : first, array, "the moments"));
    const double largest = testing::largest(reference.masked_select(mask));
    compare(differences, name, testing::largest((got - reference).masked_select(mask)), 0,
            (squares ? 2e-4 : 1e-4) * largest);
  }
}

struct Trajectory {
  fs::path folder;
  nlohmann::json settings;  // of the variant
  const LoadedModel& start;
  torch::Tensor images, labels;
};

OptimConfig optim_of(const nlohmann::json& settings) {
  OptimConfig config;
  config.optim = optim_named(settings.at("optim").get<std::string>());
  config.weight_decay = settings.at("weight_decay").get<double>();
  config.grad_clip_max_norm = settings.at("grad_clip_max_norm").get<double>();
  return config;
}

Schedule schedule_of(const nlohmann::json& settings) {
  EXPECT_EQ(settings.at("schedule").get<std::string>(), "cosine");
  return {.kind = ScheduleKind::kCosine,
          .base = settings.at("base_learning_rate").get<double>(),
          .steps_per_epoch = settings.at("steps_per_epoch").get<int64_t>(),
          .warmup_epochs = settings.at("warmup_epochs").get<double>(),
          .num_epochs = settings.at("num_epochs").get<double>()};
}

// Trains as the golden run did, from its parameters times 1 + `disturbance` * N(0, 1).
Differences follow(const Trajectory& golden, double disturbance) {
  NestConfig config = golden.start.config;
  config.stochastic_depth_drop = 0;  // as the trajectories were made
  Nest net(config);
  load_tensors(*net, golden.start.tensors);
  if (disturbance > 0) {
    torch::NoGradGuard no_grad;
    for (torch::Tensor& p : net->parameters()) p.mul_(1 + disturbance * torch::randn_like(p));
  }
  net->train();
  const OptimConfig settings = optim_of(golden.settings);
  Optimizer optimizer(*net, config, settings);
  const Schedule schedule = schedule_of(golden.settings);

  Differences differences;
  for (const auto& row : golden.settings.at("metrics")) {
    const auto step = row.at("step").get<int64_t>();
    const std::string at = "step " + std::to_string(step) + " ";
    const float rate = schedule.at(step);
    const torch::Tensor logits = net->forward(golden.images);
    const torch::Tensor loss = soft_cross_entropy(logits, golden.labels) + optimizer.l2_term();
    loss.backward();
    const double norm = optimizer.step(rate);
    const torch::Tensor hits = logits.argmax(1) == golden.labels.argmax(1);

    const auto expected = [&](const char* key) { return row.at(key).get<double>(); };
    compare(differences, at + "learning_rate", rate, expected("learning_rate"),
            2e-7 * schedule.base);
    compare(differences, at + "loss", loss.item<double>(), expected("loss"),
            2e-5 * expected("loss"));
    compare(differences, at + "accuracy", hits.to(torch::kFloat64).mean().item<double>(),
            expected("train_accuracy"), 1e-6);
    // The reference adds the squares of all values one after another in float32, which alone moves
    // its sum by 1e-4.
    compare(differences, at + "l2_grads", norm, expected("l2_grads"), 5e-4 * expected("l2_grads"));

    const fs::path after =
        golden.folder / ("params_after_" + std::to_string(step) + ".safetensors");
    if (fs::exists(after))
      compare_parameters(differences, to_flax(export_tensors(*net), config),
                         read_safetensors(after), settings.optim != Optim::kSgd,
                         after.filename().string());
    const fs::path moments =
        golden.folder / ("moments_after_" + std::to_string(step) + ".safetensors");
    if (fs::exists(moments))
      compare_moments(differences, optimizer.state(), config, read_safetensors(moments));
  }
  return differences;
}

// Max-pooling makes training discontinuous: where two neighbours are equal to the last digits,
// rounding decides which one learns, and the paths part (in the shipped trajectories several pools
// have gaps of 3e-7 to 2e-6). So one run among some whose start differs by one float32 rounding has
// to follow the golden run in everything; a wrong formula lets none.
TEST(OptimGolden, TenSteps) {
  torch::set_num_threads(1);  // the model is too small for more, and sums keep one order
  const auto table = golden_json(golden_root() / "training" / "trajectory.json");
  const LoadedModel start =
      testing::golden_flax_model(golden_root() / "flax" / table.at("model").get<std::string>());
  const TensorMap batch = read_safetensors(golden_root() / "training" / "batch.safetensors");
  ASSERT_FALSE(table.at("variants").empty());
  for (const auto& [name, settings] : table.at("variants").items()) {
    const Trajectory golden{
        golden_root() / "training" / name, settings, start,
        to_torch(find_tensor(batch, "image", "batch")).permute({0, 3, 1, 2}).contiguous(),
        to_torch(find_tensor(batch, "label", "batch"))};
    ASSERT_FALSE(settings.at("metrics").empty()) << name;
    ASSERT_TRUE(fs::exists(
        golden.folder /
        ("params_after_" + std::to_string(settings.at("metrics").size()) + ".safetensors")));
    torch::manual_seed(1);
    const Differences plain = follow(golden, 0);
    bool followed = plain.empty();
    for (int attempt = 0; attempt < 32 && !followed; ++attempt)
      followed = follow(golden, std::numeric_limits<float>::epsilon()).empty();
    EXPECT_TRUE(followed) << name << ": none of 33 runs follows; the undisturbed one differs in\n"
                          << fmt::format("{}", fmt::join(plain, "\n"));
  }
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
  OptimConfig config;
  config.wd_ignore = {};
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
  Optimizer optimizer(*net, small(), {.optim = Optim::kSgd, .weight_decay = 0.1});
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
    Optimizer optimizer(
        *net, small(),
        {.optim = Optim::kSgd, .weight_decay = 0, .sgd_momentum = 0, .grad_clip_max_norm = limit});
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
    for (const Optim optim : {Optim::kAdam, Optim::kSgd}) {
      Optimizer optimizer(*net, small(norm), {.optim = optim, .weight_decay = 0.1});
      EXPECT_NEAR(optimizer.l2_term().item<double>(), expected, 1e-5 * expected);
    }
    Optimizer adamw(*net, small(norm), {.weight_decay = 0.1});
    EXPECT_EQ(adamw.l2_term().item<double>(), 0);
    EXPECT_EQ(adamw.l2_term().dim(), 0);
  }
}

TEST(Optim, L2TermCountsMultiHeadBiases) {
  NestConfig config = small();
  const auto l2 = [](const NestConfig& c) {
    Nest net(c);
    fill(net, 1, 0);
    return Optimizer(*net, c, {.optim = Optim::kSgd, .weight_decay = 2}).l2_term().item<double>();
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
  const auto sgd = Optimizer(*net, small(), {.optim = Optim::kSgd}).groups();
  ASSERT_EQ(sgd.size(), 2U);
  EXPECT_EQ(sgd[0].values, official_matrix_values(false));
  const auto none = Optimizer(*net, small(), {.weight_decay = 0}).groups();
  ASSERT_EQ(none.size(), 1U);
  EXPECT_FALSE(none[0].decayed);
}

TEST(Optim, TimmsGroupsLeaveOutBiasesAndNorms) {
  const NestConfig config = variant("nest_tiny_s196_224");
  Nest net(config);
  OptimConfig settings;
  settings.exclude_1d = true;
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
  for (const Optim optim : {Optim::kAdamW, Optim::kSgd}) {
    Nest net(small());
    fill(net, 1, 0.5);
    Optimizer optimizer(*net, small(), {.optim = optim, .weight_decay = 0.05, .layer_decay = 0.5});
    optimizer.step(1e-3);
    // reference.md F.2, times 0.5 for every layer below the head: patch embedding 0, one encoder
    // layer in each of two levels 1 and 2, head 3.
    for (const auto& [name, share] : {std::pair{"patch_embed.proj.weight", 0.125},
                                      {"levels.0.transformer_encoder.0.mlp.fc1.weight", 0.25},
                                      {"levels.1.pool.conv.weight", 0.5},
                                      {"norm.weight", 0.5},
                                      {"head.weight", 1.0}}) {
      const double update = optim == Optim::kSgd ? 1e-3 * (0.5 + 0.45) : 1e-3 * (1 + 0.05);
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
  for (const Optim optim : {Optim::kAdamW, Optim::kAdam, Optim::kSgd}) {
    torch::manual_seed(3);
    Nest net(small());
    {
      torch::NoGradGuard no_grad;
      for (torch::Tensor& p : net->parameters()) p.normal_();
    }
    const TensorMap before = export_tensors(*net);
    const OptimConfig config{.optim = optim, .weight_decay = 0.1, .freeze = {"backbone"}};
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
    Optimizer whole(*other, small(), {.optim = optim});
    EXPECT_THROW(whole.load_state(optimizer.state()), Error);
  }
}

// The L2 term of frozen weights is a constant: it is left out of the loss.
TEST(Optim, L2TermLeavesFrozenWeightsOut) {
  Nest net(small());
  fill(net, 2, 0);
  Optimizer optimizer(*net, small(),
                      {.optim = Optim::kSgd, .weight_decay = 0.1, .freeze = {"backbone"}});
  EXPECT_NEAR(optimizer.l2_term().item<double>(), 0.5 * 0.1 * 4 * 32 * 10, 1e-4);
}

TEST(Optim, StateRoundTripLosesNothing) {
  for (const Optim optim : {Optim::kAdamW, Optim::kAdam, Optim::kSgd}) {
    torch::manual_seed(1);
    Nest a(small()), b(small());
    fill(a, 0.1, 0);
    Optimizer first(*a, small(), {.optim = optim}), second(*b, small(), {.optim = optim});
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
  Optimizer adam(*net, small(), {}), sgd(*net, small(), {.optim = Optim::kSgd});
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
