// Tensors and batches across the border to libtorch, and the errors of weights that do not fit.
#include "train/network/tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "model/params.h"
#include "train/network/nest.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;

TEST(Bridge, TensorsKeepShapeAndValues) {
  const torch::Tensor there = to_torch(Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(there.sizes().vec(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(there[1][0].item<float>(), 4);
  const Tensor back = from_torch(there.t());  // not contiguous
  EXPECT_EQ(back.shape(), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(back.to_f32(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(from_torch(torch::tensor(int64_t{1} << 40)).as<int64_t>()[0], int64_t{1} << 40);
  EXPECT_EQ(from_torch(torch::tensor(int64_t{3})).shape(), std::vector<int64_t>{});
  EXPECT_EQ(to_torch(Tensor::f32({0, 3}, {})).numel(), 0);
}

TEST(Bridge, BatchSharesItsImagesAndCopiesItsLabels) {
  Batch batch;
  batch.size = 2;
  batch.channels = 1;
  batch.height = 2;
  batch.width = 3;
  for (int i = 0; i < 12; ++i) batch.images.push_back(static_cast<float>(i));
  batch.labels = {7, -1};
  const torch::Tensor images = images_tensor(batch);
  EXPECT_EQ(images.sizes().vec(), (std::vector<int64_t>{2, 1, 2, 3}));
  EXPECT_EQ(images[1][0][1][2].item<float>(), 11);
  EXPECT_EQ(images.const_data_ptr(), batch.images.data());
  const torch::Tensor labels = labels_tensor(batch);
  EXPECT_EQ(labels.scalar_type(), torch::kInt64);
  EXPECT_TRUE(torch::equal(labels, torch::tensor({int64_t{7}, int64_t{-1}})));
}

NestConfig small() {
  NestConfig config = variant("nest_tiny_s16_32");
  config.image_size = 8;
  config.patch_size = 4;
  config.num_layers_per_block = {1, 1};
  config.embedding_dim = 8;
  config.num_heads = 2;
  config.norm_type = Norm::kBatch;
  return config;
}

TensorMap numbered(const NestConfig& config) {
  TensorMap tensors;
  float next = 0;
  for (const Param& param : parameter_table(config)) {
    std::vector<float> values(static_cast<size_t>(param.size()));
    for (float& value : values) value = ++next;
    tensors[param.name] = Tensor::f32(param.shape, values);
  }
  return tensors;
}

std::string error_of(Nest net, const TensorMap& tensors) {
  try {
    load_tensors(*net, tensors);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Bridge, LoadAndExportAreInverse) {
  const TensorMap tensors = numbered(small());
  Nest net(small());
  load_tensors(*net, tensors);
  const TensorMap back = export_tensors(*net);
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(back.at(name).shape(), tensor.shape()) << name;
    EXPECT_EQ(back.at(name).to_f32(), tensor.to_f32()) << name;
  }
  for (const torch::Tensor& p : net->parameters()) EXPECT_TRUE(p.requires_grad());
}

TEST(Bridge, WeightsThatDoNotFitAreNamed) {
  const TensorMap good = numbered(small());
  const std::string name = "levels.1.transformer_encoder.0.attn.kv.weight";
  ASSERT_TRUE(good.contains(name));
  Nest net(small());
  load_tensors(*net, good);

  TensorMap missing = good;
  missing.erase(name);
  EXPECT_THAT(error_of(net, missing), HasSubstr(name));
  TensorMap additional = good;
  additional["levels.9.pos_embed"] = Tensor::f32({1}, {0});
  EXPECT_THAT(error_of(net, additional), HasSubstr("levels.9.pos_embed"));
  TensorMap misshapen = good;
  misshapen[name] = Tensor::f32({8, 1}, std::vector<float>(8));
  EXPECT_THAT(error_of(net, misshapen),
              ::testing::AllOf(HasSubstr(name), HasSubstr("[8, 1]"), HasSubstr("[8, 8]")));
  misshapen["head.bias"] =
      Tensor::f32({10}, std::vector<float>(10));  // fits, but must not be loaded
  EXPECT_THAT(error_of(net, misshapen), HasSubstr(name));
  EXPECT_EQ(export_tensors(*net).at("head.bias").to_f32(), good.at("head.bias").to_f32());
}

}  // namespace
}  // namespace nestvit::train
