// The libtorch forward and its gradients against the official and timm models, and what no golden
// file shows.
#include "train/network/nest.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>
#include <set>

#include "model/params.h"
#include "support/golden_model.h"
#include "support/near_tensors.h"
#include "train/network/tensors.h"
#include "train/optim/loss.h"
#include "weights/adapt.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using testing::expect_near;
using testing::golden_cases;
using testing::golden_json;
using torch::Tensor;

constexpr double kForward = 2e-5;   // of the largest entry; the bound
constexpr double kGradient = 1e-4;  // of the array's largest entry; goldens README

Tensor golden(const TensorMap& tensors, const std::string& name) {
  return to_torch(find_tensor(tensors, name, "the golden file"));
}

Nest make(const NestConfig& config, const TensorMap& tensors) {
  Nest net(config);
  load_tensors(*net, tensors);
  return net;
}

// Gradients of every parameter by our names; buffers, which have none, are zeros so that to_flax
// finds them.
TensorMap gradients(const Nest& net) {
  TensorMap result;
  for (const auto& item : net->named_parameters())
    result[item.key()] = from_torch(item.value().grad());
  for (const auto& item : net->named_buffers())
    result[item.key()] = from_torch(torch::zeros_like(item.value()));
  return result;
}

// What rounding leaves of a gradient that is mathematically 0 (in front of a norm that takes it
// away): some ulps of the case's largest gradient.
double rounding(const TensorMap& grads) {
  double result = 0;
  for (const auto& [_, tensor] : grads)
    result = std::max(result, testing::largest(to_torch(tensor)));
  return 8 * result * std::numeric_limits<float>::epsilon();
}

void expect_gradients(const TensorMap& got, const TensorMap& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (const auto& [name, expected] : want) {
    ASSERT_TRUE(got.contains(name)) << what << " " << name;
    expect_near(to_torch(got.at(name)), to_torch(expected), kGradient, what + " " + name,
                rounding(want));
  }
}

TEST(NestGolden, FlaxForwardAndGradients) {
  for (const fs::path& folder : golden_cases("flax", "params.safetensors")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = testing::golden_flax_model(folder);
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    Nest net = make(model.config, model.tensors);
    net->eval();
    const Tensor input = golden(io, "input").permute({0, 3, 1, 2}).contiguous().requires_grad_();

    std::vector<Tensor> levels;
    const Tensor logits = net->forward(input, &levels);
    expect_near(logits, golden(io, "logits"), kForward, "logits");
    ASSERT_EQ(levels.size(), model.config.num_layers_per_block.size());
    for (size_t i = 0; i < levels.size(); ++i)
      expect_near(levels[i], golden(io, "level_" + std::to_string(i) + "/output"), kForward,
                  "level " + std::to_string(i));

    const Tensor loss = soft_cross_entropy(logits, golden(io, "soft_labels"));
    const double expected = golden_json(folder / "meta.json").at("loss_soft").get<double>();
    EXPECT_NEAR(loss.item<double>(), expected, kForward * expected);
    loss.backward();
    const TensorMap grads = read_safetensors(folder / "grads.safetensors");
    expect_gradients(to_flax(gradients(net), model.config), grads, "grads");
    expect_near(input.grad().permute({0, 2, 3, 1}), golden(io, "input_grad"), kGradient,
                "input_grad", rounding(grads));
  }
}

// The official load of a checkpoint at a larger image, through the whole network: goldens README,
// posembed/finetune.
TEST(NestGolden, FineTuneAtALargerImage) {
  const auto about = golden_json(testing::golden_root() / "posembed/official.json").at("finetune");
  const LoadedModel from = testing::golden_flax_model(
      (testing::golden_root() / about.at("checkpoint").get<std::string>()).parent_path());
  const TensorMap io = read_safetensors(testing::golden_root() / "posembed/finetune.safetensors");
  NestConfig to = from.config;
  to.image_size = about.at("image").get<int>();
  to.patch_size = about.at("patch_size").get<int>();
  const Tensor input = golden(io, "input").permute({0, 3, 1, 2}).contiguous();

  Nest net = make(to, adapt_tensors(from, to));
  net->eval();
  expect_near(net->forward(input), golden(io, "logits"), 1e-5, "logits");
  Nest headless = make(to, adapt_tensors(from, to, {.head = ReinitHead::kZeroAll}));
  headless->eval();
  const Tensor zeros = golden(io, "zero_head_logits");
  EXPECT_TRUE(torch::equal(headless->forward(input), zeros));
  EXPECT_EQ(testing::largest(zeros), 0);
}

TEST(NestGolden, FlaxBatchNormTraining) {
  for (const fs::path& folder : golden_cases("flax", "batch_stats_after_step.safetensors")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = testing::golden_flax_model(folder);
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    Nest net = make(model.config, model.tensors);
    net->train();

    const Tensor logits = net->forward(golden(io, "input").permute({0, 3, 1, 2}).contiguous());
    expect_near(logits, golden(io, "logits_train"), kForward, "logits_train");
    const Tensor loss = soft_cross_entropy(logits, golden(io, "soft_labels"));
    const double expected = golden_json(folder / "meta.json").at("loss_soft_train").get<double>();
    EXPECT_NEAR(loss.item<double>(), expected, kForward * expected);
    loss.backward();
    expect_gradients(to_flax(gradients(net), model.config),
                     read_safetensors(folder / "grads_train.safetensors"), "grads_train");

    TensorMap stats;
    to_flax(export_tensors(*net), model.config, &stats);
    const TensorMap expected_stats =
        read_safetensors(folder / "batch_stats_after_step.safetensors");
    ASSERT_EQ(stats.size(), expected_stats.size());
    for (const auto& [name, want] : expected_stats) {
      ASSERT_TRUE(stats.contains(name)) << name;
      expect_near(to_torch(stats.at(name)), to_torch(want), kForward, name);
    }
  }
}

// [B, T, N, C] -> the plane [B, C, y, x]
Tensor plane(const Tensor& blocks) {
  const int64_t b = blocks.size(0), c = blocks.size(3);
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(blocks.size(1))));
  const auto edge = static_cast<int64_t>(std::lround(std::sqrt(blocks.size(2))));
  return blocks.reshape({b, grid, grid, edge, edge, c})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({b, c, grid * edge, grid * edge});
}

TEST(NestGolden, TimmForwardAndGradients) {
  const fs::path root = testing::golden_root() / "timm";
  const TensorMap io = read_safetensors(root / "io.safetensors");
  const nlohmann::json meta = golden_json(root / "meta.json");
  for (const fs::path& folder : golden_cases("timm", "config.json")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = load_model(folder);
    const std::string name = model.config.variant;
    Nest net = make(model.config, model.tensors);
    net->eval();

    std::vector<Tensor> levels;
    const Tensor logits = net->forward(golden(io, "input"), &levels);
    expect_near(logits, golden(io, name + "/logits"), kForward, "logits");
    for (size_t i = 0; i < levels.size(); ++i)
      expect_near(plane(levels[i]),
                  golden(io, name + "/level_" + std::to_string(i) + "/output_nchw"), kForward,
                  "level " + std::to_string(i));

    const Tensor loss = soft_cross_entropy(logits, golden(io, "soft_labels"));
    const double expected = meta.at(name).at("loss_soft").get<double>();
    EXPECT_NEAR(loss.item<double>(), expected, kForward * expected);
    loss.backward();
    const TensorMap got = gradients(net);
    for (const auto& [key, want] : read_safetensors(root / ("grads_" + name + ".safetensors"))) {
      ASSERT_TRUE(got.contains(key)) << key;
      expect_near(to_torch(got.at(key)), to_torch(want), kGradient, key);
    }
  }
}

void expect_table(const NestConfig& config) {
  Nest net(config);
  std::vector<Param> trained, buffers;
  for (const Param& param : parameter_table(config))
    (param.buffer ? buffers : trained).push_back(param);
  const auto expect_equal = [](const auto& named, const std::vector<Param>& table) {
    ASSERT_EQ(named.size(), table.size());
    for (size_t i = 0; i < table.size(); ++i) {
      EXPECT_EQ(named[i].key(), table[i].name);
      EXPECT_EQ(named[i].value().sizes().vec(), table[i].shape) << table[i].name;
    }
  };
  expect_equal(net->named_parameters(), trained);
  expect_equal(net->named_buffers(), buffers);
}

TEST(Nest, TensorsAreTheParameterTable) {
  for (const std::string& name : variant_names()) {
    SCOPED_TRACE(name);
    expect_table(variant(name));
  }
  NestConfig config = variant("nest_tiny_s16_32");
  config.norm_type = Norm::kBatch;
  config.qkv_bias = false;
  expect_table(config);
  config.attn_type = Attention::kMultiHead;
  config.norm_type = Norm::kGroup;
  config.in_channels = 1;
  expect_table(config);
}

TEST(Nest, IllegalGeometryIsAUsageError) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.patch_size = 5;
  EXPECT_THROW(Nest{config}, UsageError);
}

TEST(Nest, AnInputOfAnotherShapeIsAnError) {
  Nest net(variant("nest_tiny_s16_32"));
  EXPECT_THROW(net->forward(torch::zeros({1, 3, 32, 31})), Error);
  EXPECT_THROW(net->forward(torch::zeros({1, 1, 32, 32})), Error);
  EXPECT_THROW(net->forward(torch::zeros({3, 32, 32})), Error);
}

// One level of two layers: 8 x 8 pixels, 4 tokens.
NestConfig tiny() {
  NestConfig config = variant("nest_tiny_s16_32");
  config.image_size = 8;
  config.init_patch_embed_size = 4;
  config.patch_size = 2;
  config.num_layers_per_block = {2};
  config.embedding_dim = 6;
  config.num_heads = 3;
  config.num_classes = 4;
  config.stochastic_depth_drop = 0;
  return config;
}

Nest random_net(const NestConfig& config) {
  torch::manual_seed(1);
  Nest net(config);
  torch::NoGradGuard no_grad;
  for (Tensor& p : net->parameters()) p.normal_(0, 0.5);
  net->train();
  return net;
}

TEST(Nest, DrawsNothingWhenAllRatesAreZero) {
  Nest net = random_net(tiny());
  torch::manual_seed(7);
  const Tensor expected = torch::rand({4});
  torch::manual_seed(7);
  net->forward(torch::ones({2, 3, 8, 8}));
  EXPECT_TRUE(torch::equal(torch::rand({4}), expected));
}

// Statistics of a group are over its channels, all blocks and all tokens of one image. The last
// level's output is what the final norm sees.
TEST(Nest, GroupNormGathersWholeGroups) {
  NestConfig config = tiny();
  config.embedding_dim = 96;  // 32 groups of 3 channels
  config.norm_type = Norm::kGroup;
  Nest net = random_net(config);
  const Tensor images = torch::randn({2, 3, 8, 8});
  std::vector<Tensor> levels;
  const Tensor logits = net->forward(images, &levels);
  const auto p = net->named_parameters();
  const Tensor x =
      levels.back().to(torch::kFloat64).view({2, 4, 32, 3});  // [B, T*N, group, channel]
  const Tensor mean = x.mean({1, 3}, /*keepdim=*/true);
  const Tensor var = (x - mean).square().mean({1, 3}, /*keepdim=*/true);
  const Tensor normed =
      ((x - mean) / (var + 1e-6).sqrt()).reshape({2, 4, 96}) * p["norm.weight"] + p["norm.bias"];
  const Tensor expected = torch::linear(normed.mean(1), p["head.weight"].to(torch::kFloat64),
                                        p["head.bias"].to(torch::kFloat64));
  expect_near(logits.to(torch::kFloat64), expected, kForward, "logits");
}

// Row by row, as text: equal images in a batch give equal rows exactly when their masks are equal.
std::set<std::string> distinct_rows(const Tensor& x) {
  std::set<std::string> rows;
  for (int64_t i = 0; i < x.size(0); ++i) {
    const Tensor row = (x[i] * 1e3).round().to(torch::kInt64).contiguous();
    std::string text;
    for (int64_t j = 0; j < row.numel(); ++j) text += std::to_string(row[j].item<int64_t>()) + " ";
    rows.insert(text);
  }
  return rows;
}

TEST(Nest, DropPathIsPerImageAndIndependentPerBranch) {
  NestConfig config = tiny();
  config.stochastic_depth_drop = 0.5;  // the first layer's rate is 0, the last one's 0.5
  Nest net = random_net(config);
  torch::manual_seed(3);
  const Tensor images = torch::randn({1, 3, 8, 8}).expand({128, 3, 8, 8}).contiguous();
  // Two branches, each kept or not: four results. None missing among 128 images: 4 * (3/4)^128 =
  // 4e-16.
  EXPECT_EQ(distinct_rows(net->forward(images)).size(), 4U);
  net->eval();
  EXPECT_EQ(distinct_rows(net->forward(images)).size(), 1U);
}

TEST(Nest, DropPathKeepsTheExpectation) {
  NestConfig config = tiny();
  config.stochastic_depth_drop = 0.5;
  Nest net = random_net(config);
  // With the MLP of the last layer silenced, the level's output is linear in the mask of its
  // attention branch.
  {
    torch::NoGradGuard no_grad;
    for (auto& item : net->named_parameters())
      if (item.key().find("transformer_encoder.1.mlp.fc2") != std::string::npos)
        item.value().zero_();
  }
  torch::manual_seed(4);
  const Tensor image = torch::randn({1, 3, 8, 8});
  std::vector<Tensor> dropped, whole;
  net->forward(image.expand({64, 3, 8, 8}).contiguous(), &dropped);
  net->eval();
  net->forward(image, &whole);
  // Two values, v without the branch and v + 2 b with it; eval has v + b, half way between.
  const Tensor outputs = dropped.back().flatten(1), first = outputs[0];
  const Tensor distance = (outputs - first).abs().amax(1);
  const Tensor other = outputs[distance.argmax().item<int64_t>()];
  ASSERT_GT(testing::largest(other - first), 1e-2);
  expect_near((first + other) / 2, whole.back().flatten(), 1e-5, "mean of the two");
}

TEST(Nest, DropoutActsInTrainingOnly) {
  for (const bool attention : {true, false}) {
    NestConfig config = tiny();
    (attention ? config.attn_drop : config.proj_drop) = 0.5;
    Nest net = random_net(config);
    const Tensor images = torch::randn({2, 3, 8, 8});
    torch::manual_seed(5);
    const Tensor a = net->forward(images), b = net->forward(images);
    EXPECT_GT(testing::largest(a - b), 1e-3) << "attention " << attention;
    torch::manual_seed(5);
    EXPECT_TRUE(torch::equal(net->forward(images), a));  // a function of torch's seed
    net->eval();
    EXPECT_TRUE(torch::equal(net->forward(images), net->forward(images)));
  }
}

}  // namespace
}  // namespace nestvit::train
