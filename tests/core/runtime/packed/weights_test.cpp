// What packing makes of norms, of the projection's columns and of wrong tensors. forward_test.cpp
// shows that the packed weights are the model's.
#include "runtime/packed/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <thread>

#include "core/runtime/reference_forward.h"
#include "core/runtime/small_model.h"

namespace nestvit {
namespace {

using testing::random_model;
using testing::small_config;

TEST(Weights, BatchNormIsFoldedIntoScaleAndShift) {
  NestConfig config = small_config();
  config.norm_type = Norm::kBatch;
  const LoadedModel model = random_model(config, 5);
  const PackedModel packed = pack(model, NumberType::kF32);
  const auto of = [&](const std::string& name) { return model.tensors.at(name).to_f32(); };
  const PackedNorm& norm = packed.levels[1].layers[1].norm2;
  const std::string name = "levels.1.transformer_encoder.1.norm2.";
  EXPECT_EQ(norm.kind, Norm::kBatch);
  const auto gamma = of(name + "weight"), beta = of(name + "bias"),
             mean = of(name + "running_mean"), variance = of(name + "running_var");
  ASSERT_EQ(norm.scale.size(), gamma.size());
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double scale = gamma[c] / std::sqrt(variance[c] + 1e-5);
    EXPECT_NEAR(norm.scale[c], scale, 1e-7 * std::fabs(scale));
    EXPECT_NEAR(norm.shift[c], beta[c] - mean[c] * scale,
                1e-7 * (std::fabs(beta[c]) + std::fabs(mean[c] * scale)));
  }
}

TEST(Weights, PoolingHasLayerNormWhateverTheLayersHave) {
  for (const Norm kind : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    NestConfig config = small_config();
    config.norm_type = kind;
    const PackedModel packed = pack(random_model(config, 5), NumberType::kF32);
    EXPECT_FALSE(packed.levels[0].pool_norm.has_value());
    EXPECT_EQ(packed.levels[1].pool_norm->kind, Norm::kLayer);
    EXPECT_EQ(packed.levels[1].layers[0].norm1.kind, kind);
    EXPECT_EQ(packed.norm.kind, kind);
  }
}

// Column d*H + h of a file is column h*D + d of the packed projection.
TEST(Weights, ProjectionsColumnsAreByHeads) {
  Level level{};
  level.width = 6;
  level.heads = 2;
  level.head_dim = 3;
  std::vector<float> weight(36);
  for (int row = 0; row < 6; ++row)
    for (int h = 0; h < 2; ++h)
      for (int d = 0; d < 3; ++d)
        weight[row * 6 + d * 2 + h] = static_cast<float>(100 * row + 10 * h + d);
  const std::vector<float> ordered = by_heads(weight, level);
  EXPECT_THAT(std::vector<float>(ordered.begin(), ordered.begin() + 6),
              ::testing::ElementsAre(0, 1, 2, 10, 11, 12));
  EXPECT_THAT(std::vector<float>(ordered.begin() + 30, ordered.end()),
              ::testing::ElementsAre(500, 501, 502, 510, 511, 512));
}

TEST(Weights, ShapesOfBothKindsOfAttention) {
  for (const Attention attention : {Attention::kMultiHead, Attention::kMultiQuery}) {
    NestConfig config = small_config();  // 32 channels, 2 heads of 16
    config.attn_type = attention;
    const PackedModel packed = pack(random_model(config, 5), NumberType::kF32);
    const PackedLevel& level = packed.levels[0];
    const bool is_multi_query = attention == Attention::kMultiQuery;
    EXPECT_EQ(level.attention.kv_heads, is_multi_query ? 1 : 2);
    EXPECT_EQ(level.attention.ld, is_multi_query ? 64 : 96);
    EXPECT_EQ(level.mlp, 64);
    EXPECT_EQ(level.use_strassen, 64 >= 16 * std::thread::hardware_concurrency());
  }
}

TEST(Weights, MissingAndStrangeTensorsAreErrors) {
  LoadedModel missing = random_model(small_config(), 5);
  missing.tensors.erase("levels.1.pool.norm.weight");
  EXPECT_THROW(pack(missing, NumberType::kF32), Error);
  LoadedModel strange = random_model(small_config(), 5);
  strange.tensors["levels.0.surplus"] = Tensor::f32({1}, {1});
  EXPECT_THROW(pack(strange, NumberType::kF32), Error);
}

}  // namespace
}  // namespace nestvit
