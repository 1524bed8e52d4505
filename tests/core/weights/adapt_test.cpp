// Weights fitted to another configuration: what changes, what stays, what is refused.
#include "weights/adapt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "model/params.h"
#include "support/golden_model.h"
#include "support/same_tensors.h"

namespace nestvit {
namespace {

using testing::golden_json;
using testing::golden_root;
using ::testing::HasSubstr;
using testing::same;

LoadedModel small_model() {
  LoadedModel model;
  model.config = variant("nest_tiny_s196_224");
  model.config.image_size = 32;
  model.config.patch_size = 4;
  model.config.num_layers_per_block = {1, 1};
  model.config.embedding_dim = 6;
  model.config.num_heads = 3;
  model.config.num_classes = 5;
  model.origin = "some/weights";
  model.tensors = initial_tensors(model.config, 1);
  return model;
}

// The official load of a checkpoint at a larger image: goldens README, posembed/finetune.
TEST(AdaptGolden, LargerImageAsTheOfficialCode) {
  const auto about = golden_json(golden_root() / "posembed" / "official.json").at("finetune");
  const auto checkpoint = golden_root() / about.at("checkpoint").get<std::string>();
  const LoadedModel from = testing::golden_flax_model(checkpoint.parent_path());
  NestConfig to = from.config;
  to.image_size = about.at("image").get<int>();
  to.patch_size = about.at("patch_size").get<int>();
  const TensorMap got = to_flax(adapt_tensors(from, to), to);
  const TensorMap expected = read_safetensors(golden_root() / "posembed" / "finetune.safetensors");
  int tables = 0;
  for (const auto& [name, tensor] : expected) {
    if (name.find("pos_embedding") == std::string::npos) continue;
    const std::vector<float> want = tensor.to_f32();
    const std::vector<float> have = find_tensor(got, name, "the adapted tensors").to_f32();
    ASSERT_EQ(have.size(), want.size()) << name;
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(have[i], want[i], 1e-6) << name;
    ++tables;
  }
  EXPECT_EQ(tables, static_cast<int>(to.num_layers_per_block.size()));
}

TEST(Adapt, TheSameModelStaysAsItIs) {
  const LoadedModel from = small_model();
  testing::expect_same(adapt_tensors(from, from.config), from.tensors, "adapted");
}

TEST(Adapt, AnotherImageSizeChangesPositionEmbeddingsOnly) {
  const LoadedModel from = small_model();
  NestConfig to = from.config;
  to.image_size = 48;
  to.patch_size = 6;
  const TensorMap got = adapt_tensors(from, to);
  EXPECT_NO_THROW(verify_tensors(got, to, "adapted"));
  for (const auto& [name, tensor] : got)
    EXPECT_EQ(same(tensor, from.tensors.at(name)), name.find("pos_embed") == std::string::npos)
        << name;
  to.patch_size = 3;  // more blocks: only as a whole image
  to.num_layers_per_block = from.config.num_layers_per_block;
  to.image_size = 24;
  EXPECT_NO_THROW(adapt_tensors(from, to, {.pos_embed = PosEmbedResize::kBlock}));
}

TEST(Adapt, AnotherNumberOfClassesZeroesTheHead) {
  const LoadedModel from = small_model();
  NestConfig to = from.config;
  to.num_classes = 7;
  const TensorMap got = adapt_tensors(from, to);
  for (const char* name : {"head.weight", "head.bias"})
    for (const float v : got.at(name).to_f32()) EXPECT_EQ(v, 0) << name;
  EXPECT_EQ(got.at("head.weight").shape(), (std::vector<int64_t>{7, 12}));
  EXPECT_TRUE(same(got.at("norm.weight"), from.tensors.at("norm.weight")));
  EXPECT_TRUE(replaces_head(from.config, to, ReinitHead::kAuto));
  EXPECT_FALSE(replaces_head(from.config, from.config, ReinitHead::kAuto));
}

TEST(Adapt, AHeadIsReplacedWhenAsked) {
  const LoadedModel from = small_model();
  const TensorMap zero = adapt_tensors(from, from.config, {.head = ReinitHead::kZeroAll});
  for (const float v : zero.at("head.weight").to_f32()) EXPECT_EQ(v, 0);
  const TensorMap random =
      adapt_tensors(from, from.config, {.head = ReinitHead::kRandom, .seed = 9});
  EXPECT_TRUE(same(random.at("head.weight"), initial_tensors(from.config, 9).at("head.weight")));
  EXPECT_FALSE(same(random.at("head.weight"), from.tensors.at("head.weight")));
  EXPECT_TRUE(same(random.at("norm.weight"), from.tensors.at("norm.weight")));
}

TEST(Adapt, RowsOfTheHeadMoveToTheirClasses) {
  LoadedModel from = small_model();  // five classes of twelve features
  from.tensors["head.bias"] = Tensor::f32({5}, {10, 11, 12, 13, 14});
  NestConfig to = from.config;
  to.num_classes = 3;
  const TensorMap got = adapt_tensors(from, to, {.rows = {4, -1, 0}});
  EXPECT_EQ(got.at("head.bias").to_f32(), (std::vector<float>{14, 0, 10}));
  const std::vector<float> before = from.tensors.at("head.weight").to_f32(),
                           after = got.at("head.weight").to_f32();
  ASSERT_EQ(after.size(), 36u);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(after[i], before[4 * 12 + i]);
    EXPECT_EQ(after[12 + i], 0);
    EXPECT_EQ(after[24 + i], before[i]);
  }
  EXPECT_TRUE(same(got.at("norm.weight"), from.tensors.at("norm.weight")));
}

TEST(Adapt, GreyImagesSumTheColours) {
  const LoadedModel from = small_model();
  NestConfig to = from.config;
  to.in_channels = 1;
  const Tensor grey = adapt_tensors(from, to).at("patch_embed.proj.weight");  // [C, 1, e, e]
  const std::vector<float> sum = grey.to_f32();
  const std::vector<float> colours = from.tensors.at("patch_embed.proj.weight").to_f32();
  const int64_t area = int64_t{to.init_patch_embed_size} * to.init_patch_embed_size;
  for (int64_t o = 0; o < grey.dim(0); ++o)
    for (int64_t k = 0; k < area; ++k) {
      const float* at = colours.data() + o * 3 * area + k;
      EXPECT_FLOAT_EQ(sum[o * area + k], at[0] + at[area] + at[2 * area]);
    }
  LoadedModel one = from;
  one.config.in_channels = 1;
  one.tensors = initial_tensors(one.config, 1);
  EXPECT_THROW(adapt_tensors(one, from.config), Error);
}

TEST(Adapt, RunningStatisticsComeAlong) {
  LoadedModel from = small_model();
  from.config.norm_type = Norm::kBatch;
  from.tensors = initial_tensors(from.config, 1);
  const Tensor mean = Tensor::f32({12}, std::vector<float>(12, 0.5f));
  from.tensors["norm.running_mean"] = mean;
  NestConfig to = from.config;
  to.num_classes = 2;
  EXPECT_TRUE(same(adapt_tensors(from, to).at("norm.running_mean"), mean));
}

TEST(Adapt, AnotherArchitectureIsRefusedByName) {
  const LoadedModel from = small_model();
  const auto refused = [&](const NestConfig& to, const std::string& word) {
    try {
      adapt_tensors(from, to);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("some/weights"));
      EXPECT_THAT(e.what(), HasSubstr(word));
      EXPECT_THAT(e.hint(), HasSubstr("model_name"));
    }
  };
  NestConfig to = from.config;
  to.embedding_dim = 12;
  refused(to, "patch_embed.proj.weight is [6, 3, 4, 4], the model needs [12, 3, 4, 4]");
  refused(to, "more");
  to = from.config;
  to.num_layers_per_block = {1, 2};
  refused(to, "levels.1.transformer_encoder.1.norm1.weight [12] is missing");
  to.num_layers_per_block = {1, 1};
  to.qkv_bias = false;
  refused(to, "2 tensors have no place");
}

}  // namespace
}  // namespace nestvit
