// The two forwards, libtorch's and the runtime's, on every named variant at full size.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "model/params.h"
#include "runtime/engine.h"
#include "support/near_tensors.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"

namespace nestvit::train {
namespace {

// Weights that keep every activation of order 1 and every bias and norm array in play (fresh ones
// would leave biases 0 and attention uniform, and hide mistakes).
void make_lively(Nest& net, const NestConfig& config) {
  torch::NoGradGuard no_grad;
  auto parameters = net->named_parameters();
  auto buffers = net->named_buffers();
  for (const Param& param : parameter_table(config)) {
    torch::Tensor& p = param.buffer ? buffers[param.name] : parameters[param.name];
    if (param.buffer) {  // running means and variances
      p.uniform_(0.5, 1.5);
    } else if (param.matrix) {
      p.normal_(0, 1 / std::sqrt(static_cast<double>(param.size()) /
                                 static_cast<double>(param.shape[0])));
    } else {
      p.normal_(0, 0.2);
      if (param.init == Init::kOnes) p.add_(1);
    }
  }
}

NestConfig small_with(Norm norm) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_layers_per_block = {1, 1, 1, 1};
  config.embedding_dim = 64;
  config.num_heads = 2;
  config.norm_type = norm;
  config.qkv_bias = false;
  config.in_channels = 1;
  return config;
}

// Every named variant at full size, and small ones with what none of them has.
std::map<std::string, NestConfig> configs() {
  std::map<std::string, NestConfig> all = {{"small_batch_norm", small_with(Norm::kBatch)},
                                           {"small_group_norm", small_with(Norm::kGroup)}};
  for (const std::string& name : variant_names()) all[name] = variant(name);
  return all;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, _] : configs()) all.push_back(name);
  return all;
}

class Parity : public ::testing::TestWithParam<std::string> {};

TEST_P(Parity, FullSizeParity) {
  torch::manual_seed(1);
  torch::NoGradGuard no_grad;
  LoadedModel model;
  model.config = configs().at(GetParam());
  Nest net(model.config);
  net->eval();
  make_lively(net, model.config);
  model.tensors = export_tensors(*net);
  model.labels.resize(static_cast<size_t>(model.config.num_classes));
  model.origin = GetParam();
  const int64_t side = model.config.image_size;
  const torch::Tensor input = torch::randn({1, model.config.in_channels, side, side});

  std::vector<torch::Tensor> levels;
  const torch::Tensor logits = net->forward(input, &levels);
  const Engine engine(model);
  const float* first = input.const_data_ptr<float>();
  const Output output = engine.run({first, first + input.numel()}, /*batch=*/1, /*features=*/true);

  constexpr double kTolerance = 2e-5;  // of the largest entry; the bound
  testing::expect_near(torch::tensor(output.logits).view(logits.sizes()), logits, kTolerance,
                       "logits");
  ASSERT_EQ(output.levels.size(), levels.size());
  for (size_t i = 0; i < levels.size(); ++i)
    testing::expect_near(torch::tensor(output.levels[i].values).view(output.levels[i].shape),
                         levels[i], kTolerance, "level " + std::to_string(i));
}

INSTANTIATE_TEST_SUITE_P(Variants, Parity, ::testing::ValuesIn(names()),
                         [](const ::testing::TestParamInfo<std::string>& variant) {
                           return variant.param;
                         });

}  // namespace
}  // namespace nestvit::train
