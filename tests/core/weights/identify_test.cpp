// Networks found again by names and shapes alone, and what cannot be seen.
#include "weights/identify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "model/params.h"
#include "support/errors.h"
#include "weights/flax/names.h"

namespace nestvit {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Tensors of these shapes that share one small block of zeros as far as they can.
TensorMap shapes_of(const NestConfig& config) {
  TensorMap tensors;
  for (const Param& param : parameter_table(config)) {
    auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(param.size()));
    tensors.emplace(param.name,
                    Tensor(DType::kF32, param.shape, std::as_bytes(std::span(*values)), values));
  }
  return tensors;
}

std::string message_of(const TensorMap& tensors, const Hints& hints = {}) {
  return testing::error_of([&] { identify(tensors, hints, "x"); });
}

TEST(Identify, EveryVariantByItsTimmNames) {
  for (const std::string& name : variant_names()) {
    if (name.starts_with("nest_base_s16")) continue;  // 89 M values say nothing more
    NestConfig config = variant(name);
    config.num_classes = 7;
    const Identified found = identify(shapes_of(config), {.variant = name, .overrides = {}}, "x");
    EXPECT_EQ(found.config, config) << name;
  }
}

TEST(Identify, OfficialVariantsByTheirFlaxPaths) {
  for (const std::string name : {"nest_tiny_s16_32", "nest_tiny_s196_224"}) {
    const NestConfig config = variant(name);
    TensorMap stats;
    const TensorMap params = to_flax(shapes_of(config), config, &stats);
    const Identified found = identify(params, {}, "x");
    EXPECT_EQ(found.config, config) << name;
    EXPECT_TRUE(found.assumed.empty());
  }
}

NestConfig custom(Norm norm, Attention attention) {
  NestConfig config;
  config.variant = "nest";
  config.image_size = 32;
  config.init_patch_embed_size = 2;
  config.patch_size = 4;
  config.num_layers_per_block = {1, 3, 2};
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.scale_hidden_dims = 2;
  config.mlp_ratio = 1.5;
  config.norm_type = norm;
  config.attn_type = attention;
  config.in_channels = 1;
  config.qkv_bias = false;
  return config;
}

TEST(Identify, AnyNetworkByItsFlaxPaths) {
  for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery}) {
      const NestConfig config = custom(norm, attention);
      TensorMap stats;
      const TensorMap params = to_flax(shapes_of(config), config, &stats);
      EXPECT_EQ(identify(params, {}, "x").config, config);
    }
}

TEST(Identify, FreeWidthsAndHeadsByOverride) {
  NestConfig config = custom(Norm::kLayer, Attention::kMultiHead);
  config.scale_hidden_dims.reset();
  config.embed_dims = {12, 20, 36};
  config.level_heads = {3, 2, 4};
  config.embedding_dim = 12;
  config.num_heads = 3;
  config.gelu = Gelu::kErf;
  const TensorMap tensors = shapes_of(config);
  EXPECT_THAT(message_of(tensors), HasSubstr("--config.nest.level_heads"));
  const Identified found =
      identify(tensors, {.variant = "", .overrides = {{"level_heads", "[3, 2, 4]"}}}, "x");
  EXPECT_EQ(found.config, config);
  EXPECT_THAT(found.assumed, Contains(HasSubstr("erf")));
}

TEST(Identify, EquallyWideLevelsShareTheirLayersOrAsk) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.embedding_dim = 24;
  config.num_layers_per_block = {2, 2, 2, 2};
  TensorMap stats;
  const Identified even = identify(to_flax(shapes_of(config), config, &stats), {}, "x");
  EXPECT_EQ(even.config.num_layers_per_block, config.num_layers_per_block);
  EXPECT_THAT(even.assumed, Contains(HasSubstr("shared evenly")));
  config.num_layers_per_block = {1, 2, 2, 2};
  const TensorMap odd = to_flax(shapes_of(config), config, &stats);
  EXPECT_THAT(message_of(odd), HasSubstr("num_layers_per_block"));
  const Hints hints{.variant = "", .overrides = {{"num_layers_per_block", "[1, 2, 2, 2]"}}};
  EXPECT_EQ(identify(odd, hints, "x").config.num_layers_per_block, config.num_layers_per_block);
}

TEST(Identify, OtherNetworksAreNamedAsSuch) {
  EXPECT_THAT(message_of({}), HasSubstr("no tensors"));
  const TensorMap resnet = {{"conv1.weight", Tensor::f32({1}, {0})}};
  EXPECT_THAT(message_of(resnet), HasSubstr("conv1.weight"));
  TensorMap broken = shapes_of(custom(Norm::kLayer, Attention::kMultiHead));
  broken["levels.0.pos_embed"] = Tensor::f32({1, 3, 16, 32}, std::vector<float>(3 * 16 * 32));
  EXPECT_THAT(message_of(broken), HasSubstr("3 blocks do not make a square"));
  broken["levels.0.pos_embed"] = Tensor::f32({4}, std::vector<float>(4));
  EXPECT_THAT(message_of(broken), HasSubstr("expected 4 axes"));
  broken["levels.0.pos_embed"] = Tensor::f32({1, 0, 0, 0}, {});
  EXPECT_THAT(message_of(broken), HasSubstr("not a NesT"));
}

}  // namespace
}  // namespace nestvit
