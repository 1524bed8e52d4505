// Frozen names, and timm's layer numbers.
#include "run/recipe/freeze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <map>

namespace nestvit {
namespace {

using ::testing::HasSubstr;

TEST(Freeze, EntriesAreBeginningsUpToADot) {
  EXPECT_TRUE(frozen("levels.1.pool.conv.weight", {"levels.1"}));
  EXPECT_TRUE(frozen("levels.1.pool.conv.weight", {"head", "levels.1.pool"}));
  EXPECT_TRUE(frozen("levels.1.pos_embed", {"levels.1.pos_embed"}));
  EXPECT_FALSE(frozen("levels.1.pos_embed", {"levels.1.pos"}));
  EXPECT_FALSE(frozen("levels.10.pos_embed", {"levels.1"}));
  EXPECT_FALSE(frozen("levels.1.pos_embed", {}));
}

TEST(Freeze, BackboneIsAllButTheHead) {
  for (const Param& param : parameter_table(variant("nest_tiny_s196_224")))
    EXPECT_EQ(frozen(param.name, {"backbone"}), !param.name.starts_with("head.")) << param.name;
}

TEST(Freeze, MistakesAreNamed) {
  const NestConfig model = variant("nest_tiny_s196_224");
  EXPECT_NO_THROW(check_freeze({}, model));
  EXPECT_NO_THROW(check_freeze({"patch_embed", "levels.0", "levels.2.transformer_encoder"}, model));
  try {
    check_freeze({"patch_embed", "level.0"}, model);
    FAIL() << "accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("\"level.0\""));
    EXPECT_THAT(e.hint(), HasSubstr("levels.0 to levels.2"));
  }
  EXPECT_THROW(check_freeze({"backbone", "head"}, model), UsageError) << "nothing left";
  EXPECT_THROW(check_freeze({""}, model), UsageError);
}

// What timm's param_groups_layer_decay gives for nest_tiny: 14 groups, of which the first is the
// patch embedding, the last the head, and a level's pooling and position embedding go with its
// first encoder layer, the final norm with the last one.
TEST(LayerDecay, LayersAreTimms) {
  const NestConfig model = variant("nest_tiny");
  const std::map<std::string, int> expected = {
      {"patch_embed.proj.weight", 0},
      {"levels.0.pos_embed", 1},
      {"levels.0.transformer_encoder.0.norm1.weight", 1},
      {"levels.0.transformer_encoder.1.mlp.fc2.bias", 2},
      {"levels.1.pool.conv.weight", 3},
      {"levels.1.pool.norm.bias", 3},
      {"levels.1.pos_embed", 3},
      {"levels.1.transformer_encoder.1.attn.qkv.weight", 4},
      {"levels.2.pos_embed", 5},
      {"levels.2.transformer_encoder.7.mlp.fc1.weight", 12},
      {"norm.weight", 12},
      {"head.weight", 13},
      {"head.bias", 13}};
  size_t seen = 0;
  for (const Param& param : parameter_table(model)) {
    const auto entry = expected.find(param.name);
    if (entry == expected.end()) continue;
    EXPECT_EQ(param.layer, entry->second) << param.name;
    EXPECT_DOUBLE_EQ(learning_rate_share(param, 13, 0.75), std::pow(0.75, 13 - entry->second));
    EXPECT_EQ(learning_rate_share(param, 13, 1), 1);
    ++seen;
  }
  EXPECT_EQ(seen, expected.size());
}

}  // namespace
}  // namespace nestvit
