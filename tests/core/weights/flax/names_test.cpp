// Flax arrays to ours and back: the official models' own files, the mapping entry by entry, and
// files that do not fit.
#include "weights/flax/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "model/params.h"
#include "support/golden_model.h"
#include "support/same_tensors.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using testing::expect_same;
using testing::golden_cases;
using ::testing::HasSubstr;

// Values that name their own position, so that any mix-up shows.
Tensor counted(std::vector<int64_t> shape, float from = 0) {
  std::vector<float> values(static_cast<size_t>(*element_count(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = from + static_cast<float>(i);
  return Tensor::f32(std::move(shape), std::move(values));
}

float at(const Tensor& tensor, std::vector<int64_t> index) {
  int64_t position = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) {
    EXPECT_LT(index[axis], tensor.dim(axis));
    position = position * tensor.dim(axis) + index[axis];
  }
  return tensor.as<float>()[static_cast<size_t>(position)];
}

NestConfig small(Attention attention, Norm norm = Norm::kLayer) {
  NestConfig config;
  config.image_size = 8;
  config.patch_size = 2;
  config.init_patch_embed_size = 2;
  config.num_layers_per_block = {1, 1};
  config.embedding_dim = norm == Norm::kGroup ? 32 : 6;
  config.num_heads = 2;
  config.mlp_ratio = 2;
  config.num_classes = 3;
  config.attn_type = attention;
  config.norm_type = norm;
  return config;
}

struct Flax {
  TensorMap params, batch_stats;
};

Flax flax_of(const NestConfig& config) {
  TensorMap tensors;
  float from = 0;
  for (const Param& param : parameter_table(config)) {
    tensors.emplace(param.name, counted(param.shape, from));
    from += 1000;
  }
  Flax flax;
  flax.params = to_flax(tensors, config, &flax.batch_stats);
  return flax;
}

TEST(FlaxGolden, OfficialParametersFitTheTableAndComeBackBitForBit) {
  for (const auto& folder : golden_cases("flax", "params.safetensors")) {
    const TensorMap params = testing::golden_flax_params(folder);
    const TensorMap stats = testing::golden_flax_batch_stats(folder);
    const LoadedModel model = testing::golden_flax_model(folder);
    EXPECT_NO_THROW(verify_tensors(model.tensors, model.config, folder.string()));
    TensorMap stats_back;
    expect_same(params, to_flax(model.tensors, model.config, &stats_back), folder.string());
    expect_same(stats, stats_back, folder.string() + " batch_stats");
  }
}

// Gradients are trees of the same arrays.
TEST(FlaxGolden, GradientsMapLikeParameters) {
  for (const auto& folder : golden_cases("flax", "grads.safetensors")) {
    const NestConfig config = testing::golden_flax_model(folder).config;
    const TensorMap grads = read_safetensors(folder / "grads.safetensors");
    const TensorMap ours =
        from_flax(grads, testing::golden_flax_batch_stats(folder), config, folder.string());
    expect_same(grads, to_flax(ours, config), folder.string());
  }
}

// reference.md B.4, entry by entry.
TEST(Flax, MultiHeadFollowsTheMapping) {
  const NestConfig config = small(Attention::kMultiHead);
  const Level level = geometry(config)[0];
  const int64_t C = level.width, H = level.heads, D = level.head_dim;
  const Flax flax = flax_of(config);
  const TensorMap ours = from_flax(flax.params, flax.batch_stats, config, "test");
  const std::string theirs = "EncoderNDBlock_0/MultiHeadAttention_0/";
  const std::string name = "levels.0.transformer_encoder.0.attn.";
  const Tensor& q = flax.params.at(theirs + "DenseGeneral_0/kernel");
  const Tensor& kv = flax.params.at(theirs + "DenseGeneral_1/kernel");
  const Tensor& projection = flax.params.at(theirs + "proj_kernel");
  const Tensor& qb = flax.params.at(theirs + "DenseGeneral_0/bias");
  const Tensor& kvb = flax.params.at(theirs + "DenseGeneral_1/bias");
  EXPECT_THAT(q.shape(), ElementsAre(C, H, D));
  EXPECT_THAT(kv.shape(), ElementsAre(C, H, 2 * D));
  EXPECT_THAT(projection.shape(), ElementsAre(H, D, C));
  const Tensor& qkv = ours.at(name + "qkv.weight");
  const Tensor& bias = ours.at(name + "qkv.bias");
  for (int64_t h = 0; h < H; ++h)
    for (int64_t d = 0; d < D; ++d) {
      for (int64_t c = 0; c < C; ++c) {
        EXPECT_EQ(at(qkv, {h * D + d, c}), at(q, {c, h, d}));
        EXPECT_EQ(at(qkv, {C + h * D + d, c}), at(kv, {c, h, d}));
        EXPECT_EQ(at(qkv, {2 * C + h * D + d, c}), at(kv, {c, h, D + d}));
        EXPECT_EQ(at(ours.at(name + "proj.weight"), {c, d * H + h}), at(projection, {h, d, c}));
      }
      EXPECT_EQ(at(bias, {h * D + d}), at(qb, {h, d}));
      EXPECT_EQ(at(bias, {C + h * D + d}), at(kvb, {h, d}));
      EXPECT_EQ(at(bias, {2 * C + h * D + d}), at(kvb, {h, D + d}));
    }
}

TEST(Flax, MultiQueryKeepsOneKeyAndOneValue) {
  const NestConfig config = small(Attention::kMultiQuery);
  const Level level = geometry(config)[0];
  const int64_t C = level.width, H = level.heads, D = level.head_dim;
  const Flax flax = flax_of(config);
  const TensorMap ours = from_flax(flax.params, {}, config, "test");
  const std::string theirs = "EncoderNDBlock_0/MultiQueryAttention_0/";
  const std::string name = "levels.0.transformer_encoder.0.attn.";
  const Tensor& q = flax.params.at(theirs + "DenseGeneral_0/kernel");
  const Tensor& kv = flax.params.at(theirs + "Dense_0/kernel");
  EXPECT_THAT(q.shape(), ElementsAre(C, H, D));
  EXPECT_THAT(kv.shape(), ElementsAre(C, 2 * D));
  for (int64_t c = 0; c < C; ++c) {
    for (int64_t h = 0; h < H; ++h)
      for (int64_t d = 0; d < D; ++d)
        EXPECT_EQ(at(ours.at(name + "q.weight"), {h * D + d, c}), at(q, {c, h, d}));
    for (int64_t j = 0; j < 2 * D; ++j)
      EXPECT_EQ(at(ours.at(name + "kv.weight"), {j, c}), at(kv, {c, j}));
  }
}

TEST(Flax, ConvolutionsAndDenseLayersAreTransposed) {
  const NestConfig config = small(Attention::kMultiHead);
  const Flax flax = flax_of(config);
  const TensorMap ours = from_flax(flax.params, {}, config, "test");
  const Tensor& conv = flax.params.at("ConvPool_0/Conv_0/kernel");
  const Tensor& head = flax.params.at("Dense_0/kernel");
  for (int64_t y = 0; y < 3; ++y)
    for (int64_t x = 0; x < 3; ++x)
      for (int64_t i = 0; i < conv.dim(2); ++i)
        for (int64_t o = 0; o < conv.dim(3); ++o)
          EXPECT_EQ(at(ours.at("levels.1.pool.conv.weight"), {o, i, y, x}), at(conv, {y, x, i, o}));
  for (int64_t i = 0; i < head.dim(0); ++i)
    for (int64_t o = 0; o < head.dim(1); ++o)
      EXPECT_EQ(at(ours.at("head.weight"), {o, i}), at(head, {i, o}));
}

TEST(Flax, EveryKindOfModelComesBack) {
  for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
    for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
      for (bool bias : {true, false}) {
        NestConfig config = small(attention, norm);
        config.qkv_bias = bias;
        const Flax flax = flax_of(config);
        EXPECT_EQ(flax.batch_stats.empty(), norm != Norm::kBatch);
        const TensorMap ours = from_flax(flax.params, flax.batch_stats, config, "test");
        ASSERT_EQ(ours.size(), parameter_table(config).size());
        TensorMap stats;
        expect_same(flax.params, to_flax(ours, config, &stats), "params");
        expect_same(flax.batch_stats, stats, "batch_stats");
      }
}

TEST(Flax, GroupNormMayBeFlat) {
  const NestConfig config = small(Attention::kMultiHead, Norm::kGroup);
  Flax flax = flax_of(config);
  const std::string path = "EncoderNDBlock_0/GroupNorm_0/scale";
  const int64_t C = geometry(config)[0].width;
  ASSERT_THAT(flax.params.at(path).shape(), ElementsAre(1, 1, 1, C));
  const TensorMap expected = from_flax(flax.params, {}, config, "test");
  flax.params.at(path) = flax.params.at(path).reshaped({C});
  expect_same(from_flax(flax.params, {}, config, "test"), expected, "flat");
}

TEST(Flax, RefusesArraysThatDoNotFit) {
  const NestConfig config = small(Attention::kMultiHead, Norm::kBatch);
  const Flax good = flax_of(config);
  ASSERT_NO_THROW(from_flax(good.params, good.batch_stats, config, "x"));
  for (const auto& [path, array] : good.params) {
    Flax flax = good;
    flax.params.erase(path);
    EXPECT_THROW(from_flax(flax.params, flax.batch_stats, config, "x"), Error) << path;
    flax.params[path] = array.reshaped({1, array.size(), 1});
    EXPECT_THROW(from_flax(flax.params, flax.batch_stats, config, "x"), Error) << path;
  }
  Flax flax = good;
  flax.params["Dense_1/kernel"] = counted({1});
  try {
    from_flax(flax.params, flax.batch_stats, config, "a/checkpoint_1");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("a/checkpoint_1"));
    EXPECT_THAT(e.what(), HasSubstr("Dense_1/kernel"));
  }
  EXPECT_THROW(from_flax(good.params, {}, config, "x"), Error);
  NestConfig layer_norm = config;
  layer_norm.norm_type = Norm::kLayer;
  const Flax other = flax_of(layer_norm);
  EXPECT_THROW(from_flax(other.params, good.batch_stats, layer_norm, "x"), Error);
}

TEST(Flax, RefusesToExportATensorOfAnotherShape) {
  const NestConfig config = small(Attention::kMultiHead);
  const Flax flax = flax_of(config);
  TensorMap ours = from_flax(flax.params, {}, config, "x");
  ours.at("head.bias") = counted({4});
  EXPECT_THROW(to_flax(ours, config), Error);
  ours.erase("head.bias");
  EXPECT_THROW(to_flax(ours, config), Error);
}

}  // namespace
}  // namespace nestvit
