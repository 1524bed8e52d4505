// The baselines' modules: their names, what starts as what, running statistics; and against timm's
// ResNet, made into the reference's by tools/interop/check.py.
#include "train/resnet.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstdlib>
#include <filesystem>

#include "close.h"
#include "train/bridge.h"
#include "train/loss.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using testing::expect_close;
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
  expect_close(net->named_buffers()["bn1.running_mean"], mean * 0.19, 2e-6, "mean");
  expect_close(net->named_buffers()["bn1.running_var"], 0.81 + var * 0.19, 2e-6, "variance");
  net->eval();
  const Tensor before = net->named_buffers()["bn1.running_mean"].clone();
  net->forward(x);
  EXPECT_TRUE(torch::equal(net->named_buffers()["bn1.running_mean"], before));
}

// NESTVIT_RESNET_FOLDER: a model directory and io.safetensors, in double precision by timm.
TEST(ResNet, AgreesWithTimm) {
  const char* folder = std::getenv("NESTVIT_RESNET_FOLDER");
  if (!folder) GTEST_SKIP() << "tools/interop/check.py makes what this compares with";
  const AnyModel model = load_any_model(folder);
  const TensorMap io = read_safetensors(fs::path(folder) / "io.safetensors");
  auto net = make_network(model.config);
  load_tensors(*net, model.tensors);
  net->eval();
  const Tensor input = to_torch(io.at("input"));
  expect_close(net->forward(input), to_torch(io.at("logits")), 2e-5, "logits");
  net->train();
  const Tensor logits = net->forward(input);
  expect_close(logits, to_torch(io.at("logits_train")), 2e-5, "logits in training");
  soft_cross_entropy(logits, to_torch(io.at("targets"))).backward();
  size_t gradients = 0, statistics = 0;
  for (const auto& item : net->named_parameters()) {
    expect_close(item.value().grad(), to_torch(io.at("grad." + item.key())), 1e-4, item.key());
    ++gradients;
  }
  for (const auto& item : net->named_buffers()) {
    expect_close(item.value(), to_torch(io.at("after." + item.key())), 2e-5, item.key());
    ++statistics;
  }
  fmt::print("{}: logits, {} gradients and {} statistics as timm's\n", model.config.variant(),
             gradients, statistics);
}

}  // namespace
}  // namespace nestvit::train
