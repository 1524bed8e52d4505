// The baselines' modules: their names, what starts as what, running statistics; and against timm's
// ResNet, made into the reference's by tools/interop/check.py.
#include "train/network/resnet.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "support/near_tensors.h"
#include "train/network/tensors.h"
#include "train/optim/loss.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using testing::expect_near;
using torch::Tensor;

TEST(ResNet, TensorsAreTheParameterTable) {
  for (const std::string& name : resnet_names()) {
    SCOPED_TRACE(name);
    const ResNet net(resnet(name));
    const auto parameters = net.named_parameters(), buffers = net.named_buffers();
    size_t trained = 0, kept = 0;
    for (const Param& param : parameter_table(resnet(name))) {
      const Tensor* found = (param.buffer ? buffers : parameters).find(param.name);
      ASSERT_NE(found, nullptr) << param.name;
      EXPECT_EQ(found->sizes().vec(), param.shape) << param.name;
      ++(param.buffer ? kept : trained);
    }
    EXPECT_EQ(trained, parameters.size());
    EXPECT_EQ(kept, buffers.size());
  }
}

std::shared_ptr<Network> fresh(const ResNetConfig& config) {
  auto net = make_network(config);
  load_tensors(*net, initial_tensors(config, 3));
  return net;
}

// lecun_normal: variance 1 / fan-in, so that a convolution keeps the size of what it sees.
TEST(ResNet, FreshKernelsHaveLecunsVariance) {
  const TensorMap tensors = initial_tensors(resnet("resnet18"), 3);
  for (const auto& [name, fan_in] :
       {std::pair{"layer1.0.conv1.weight", 64 * 9}, {"layer4.1.conv2.weight", 512 * 9}}) {
    const Tensor kernel = to_torch(tensors.at(name));
    const double variance = kernel.var(/*unbiased=*/false).item<double>() * fan_in;
    EXPECT_NEAR(variance, 1, 5 * std::sqrt(2.0 / static_cast<double>(kernel.numel()))) << name;
    // Truncated at two standard deviations of the normal that was cut.
    EXPECT_LE(kernel.abs().max().item<double>(), 2 / std::sqrt(fan_in) / 0.8796) << name;
  }
}

// The last norm of each basic block starts at 0, so such a network is its stem and its shortcuts;
// the head starts at 0 too.
TEST(ResNet, StartsWithZeroLogits) {
  for (const std::string& name : resnet_names()) {
    ResNetConfig config = resnet(name);
    config.image_size = 32;
    auto net = fresh(config);
    net->eval();
    EXPECT_EQ(testing::largest(net->forward(torch::randn({2, 3, 32, 32}))), 0) << name;
    EXPECT_THROW(net->forward(torch::randn({2, 3, 16, 16})), Error);
  }
}

// Twice the same batch: statistics move a tenth of the way each time, and evaluation uses them.
TEST(ResNet, RunningStatisticsMove) {
  ResNetConfig config = resnet("resnet18_cifar");
  config.image_size = 8;
  auto net = fresh(config);
  torch::manual_seed(1);
  const Tensor x = torch::randn({6, 3, 8, 8}) + 1;
  const auto stem = torch::conv2d(x, net->named_parameters()["conv1.weight"], {}, 1, 1);
  const Tensor mean = stem.mean({0, 2, 3}), var = stem.var({0, 2, 3}, /*unbiased=*/false);
  net->train();
  for (int i = 0; i < 2; ++i) net->forward(x);
  expect_near(net->named_buffers()["bn1.running_mean"], mean * 0.19, 2e-6, "mean");
  expect_near(net->named_buffers()["bn1.running_var"], 0.81 + var * 0.19, 2e-6, "variance");
  net->eval();
  const Tensor before = net->named_buffers()["bn1.running_mean"].clone();
  net->forward(x);
  EXPECT_TRUE(torch::equal(net->named_buffers()["bn1.running_mean"], before));
}

// NESTVIT_RESNET_FOLDER: a model directory and io.safetensors by timm. Both sides compute in double
// precision: in single, among millions of ReLUs one falls on the other side of its kink.
TEST(ResNet, AgreesWithTimm) {
  constexpr double kStored = 1e-6;  // of the largest entry; the file holds floats
  const char* folder = std::getenv("NESTVIT_RESNET_FOLDER");
  if (!folder) GTEST_SKIP() << "tools/interop/check.py makes what this compares with";
  const LoadedNetwork model = load_network(folder);
  const TensorMap io = read_safetensors(fs::path(folder) / "io.safetensors");
  const auto theirs = [&](const std::string& name) {
    return to_torch(find_tensor(io, name, "io.safetensors")).to(torch::kFloat64);
  };
  auto net = make_network(model.config);
  load_tensors(*net, model.tensors);
  net->to(torch::kFloat64);
  net->eval();
  expect_near(net->forward(theirs("input")), theirs("logits"), kStored, "logits");
  net->train();
  const Tensor logits = net->forward(theirs("input"));
  expect_near(logits, theirs("logits_train"), kStored, "logits in training");
  soft_cross_entropy(logits, theirs("targets")).backward();
  double largest = 0;
  for (const auto& item : net->named_parameters())
    largest = std::max(largest, testing::largest(item.value().grad()));
  size_t gradients = 0, statistics = 0;
  // A bias in front of a norm has a gradient that is mathematically 0; rounding leaves something.
  for (const auto& item : net->named_parameters()) {
    expect_near(item.value().grad(), theirs("grad." + item.key()), kStored, item.key(),
                1e-9 * largest);
    ++gradients;
  }
  for (const auto& item : net->named_buffers()) {
    expect_near(item.value(), theirs("after." + item.key()), kStored, item.key());
    ++statistics;
  }
  fmt::print("{}: logits, {} gradients and {} statistics as timm's\n", model.config.variant(),
             gradients, statistics);
}

}  // namespace
}  // namespace nestvit::train
