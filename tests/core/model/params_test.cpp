// The parameter table: counts to the integer, names, decay; reference.md A.6 and B.
#include "model/params.h"

#include <gtest/gtest.h>

#include <set>

namespace nestvit {
namespace {

NestConfig with_classes(const char* name, int classes) {
  NestConfig config = variant(name);
  config.num_classes = classes;
  return config;
}

TEST(Params, CountsOfThePaper) {
  struct Row {
    const char* name;
    int64_t classes10, classes100, classes1000;
  };
  const Row rows[] = {{"nest_tiny_s16_32", 6006730, 6024100, 6197800},
                      {"nest_small_s16_32", 22849930, 22884580, 23231080},
                      {"nest_base_s16_32", 89050378, 89119588, 89811688},
                      {"nest_tiny_s196_224", 16676458, 16711108, 17057608},
                      {"nest_small_s196_224", 37970026, 38004676, 38351176},
                      {"nest_base_s196_224", 67215498, 67261668, 67723368}};
  for (const Row& row : rows) {
    EXPECT_EQ(parameter_count(with_classes(row.name, 10)), row.classes10) << row.name;
    EXPECT_EQ(parameter_count(with_classes(row.name, 100)), row.classes100) << row.name;
    EXPECT_EQ(parameter_count(with_classes(row.name, 1000)), row.classes1000) << row.name;
  }
}

TEST(Params, CountsWithOverrides) {
  NestConfig config = with_classes("nest_tiny_s16_32", 10);
  config.attn_type = Attention::kMultiHead;
  EXPECT_EQ(parameter_count(config), 6599626);
  config = with_classes("nest_base_s196_224", 1000);
  config.image_size = 384;
  config.patch_size = 24;
  EXPECT_EQ(parameter_count(config), 69085288);
}

// reference.md B.2, B.3: the official code stores 185 and 190 arrays (q and kv apart).
TEST(Params, FlaxArrays) {
  for (auto [name, arrays] : {std::pair{"nest_tiny_s196_224", 185u},
                              {"nest_base_s196_224", 353u},
                              {"nest_tiny_s16_32", 190u}}) {
    std::set<std::string> paths;
    for (const Param& param : parameter_table(variant(name)))
      paths.insert(param.flax.begin(), param.flax.end());
    EXPECT_EQ(paths.size(), arrays) << name;
  }
}

TEST(Params, NamesAreUniqueAndTimms) {
  std::set<std::string> names;
  for (const Param& param : parameter_table(variant("nest_tiny")))
    EXPECT_TRUE(names.insert(param.name).second) << param.name;
  for (const char* name :
       {"patch_embed.proj.weight", "levels.0.pos_embed", "levels.1.pool.conv.weight",
        "levels.2.transformer_encoder.7.attn.qkv.bias",
        "levels.2.transformer_encoder.7.mlp.fc2.weight", "norm.bias", "head.weight"})
    EXPECT_TRUE(names.count(name)) << name;
}

TEST(Params, BatchNormBuffersAreNotCounted) {
  NestConfig config = variant("nest_tiny_s16_32");
  const int64_t plain = parameter_count(config);
  config.norm_type = Norm::kBatch;
  EXPECT_EQ(parameter_count(config), plain);
  int buffers = 0;
  for (const Param& param : parameter_table(config)) buffers += param.buffer;
  EXPECT_EQ(buffers, 2 * (2 * 12 + 1));
}

TEST(Params, DecayFollowsFlaxAndTimmNames) {
  for (const Param& param : parameter_table(variant("nest_tiny_s16_32"))) {
    EXPECT_EQ(decayed(param, {"pos_embedding"}), param.name.find("pos_embed") == std::string::npos)
        << param.name;
    EXPECT_TRUE(decayed(param, {}));
    EXPECT_EQ(decayed(param, {"norm"}), param.name.find("norm") == std::string::npos) << param.name;
  }
}

}  // namespace
}  // namespace nestvit
