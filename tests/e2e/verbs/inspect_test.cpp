// nestvit inspect: the numbers of the papers, and the geometry's errors.
#include <nlohmann/json.hpp>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class InspectCli : public CliTest {
 protected:
  json inspect(const std::string& arguments) const {
    const Outcome outcome = nestvit("inspect --json " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
};

struct Known {
  const char* variant;
  int classes;
  int64_t parameters;
  double giga;  // multiply-accumulates, to the digits that are published
};

// The official model table (docs/model.md).
TEST_F(InspectCli, KnownVariants) {
  for (const Known& known : {Known{"nest_tiny_s16_32", 10, 6'006'730, 2.076},
                             Known{"nest_small_s16_32", 10, 22'849'930, 8.052},
                             Known{"nest_base_s16_32", 10, 89'050'378, 31.70},
                             Known{"nest_tiny_s196_224", 1000, 17'057'608, 5.807},
                             Known{"nest_small_s196_224", 1000, 38'351'176, 10.32},
                             Known{"nest_base_s196_224", 1000, 67'723'368, 17.93},
                             Known{"nest_tiny_jx", 1000, 17'057'608, 5.807}}) {
    const json result = inspect(fmt::format("{} --num-classes {}", known.variant, known.classes));
    EXPECT_EQ(result["variant"], known.variant);
    EXPECT_EQ(result["parameters"], known.parameters) << known.variant;
    EXPECT_NEAR(result["multiply_accumulates"].get<double>() / 1e9, known.giga, 5e-4 * known.giga);
    int64_t sum =
        result["parameters_patch_embed"].get<int64_t>() + result["parameters_head"].get<int64_t>();
    for (const json& level : result["levels"]) sum += level["parameters"].get<int64_t>();
    EXPECT_EQ(sum, known.parameters);
    EXPECT_TRUE(result["labels"].is_null());
  }
}

TEST_F(InspectCli, LevelsOfTheImageNetModel) {
  const json levels = inspect("nest_tiny_s196_224")["levels"];
  ASSERT_EQ(levels.size(), 3);
  const int blocks[] = {16, 4, 1}, widths[] = {96, 192, 384}, heads[] = {3, 6, 12},
            layers[] = {2, 2, 8}, maps[] = {56, 28, 14};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(levels[i]["blocks"], blocks[i]);
    EXPECT_EQ(levels[i]["tokens"], 196);
    EXPECT_EQ(levels[i]["width"], widths[i]);
    EXPECT_EQ(levels[i]["heads"], heads[i]);
    EXPECT_EQ(levels[i]["head_dim"], 32);
    EXPECT_EQ(levels[i]["layers"], layers[i]);
    EXPECT_EQ(levels[i]["map"], maps[i]);
  }
}

TEST_F(InspectCli, OverridesInEitherForm) {
  const json a = inspect("nest_tiny_s16_32 --config.nest.attn_type=local_multi_head");
  const json b = inspect("nest_tiny_s16_32 --config.nest.attn_type local_multi_head");
  EXPECT_EQ(a["parameters"], 6'599'626);
  EXPECT_EQ(a, b);
  const json larger =
      inspect("nest_tiny_s196_224 --num-classes 1000 --img-size 384 --config.nest.patch_size=24");
  EXPECT_EQ(larger["parameters"], 18'079'048);
}

TEST_F(InspectCli, TableNamesWhatMatters) {
  const Outcome outcome = nestvit("inspect nest_tiny_s16_32");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("6,006,730"));
  EXPECT_THAT(outcome.out, HasSubstr("2,075,887,488"));
  EXPECT_THAT(outcome.out, HasSubstr("32 x 32"));
}

TEST_F(InspectCli, ModelDirectoryNeedsNoWeights) {
  save("model", tiny_model());
  fs::remove(path("model/model.safetensors"));
  const json result = inspect("model");
  EXPECT_EQ(result["labels"], json({"ant", "bee", "cat"}));
  EXPECT_EQ(result["preprocessing"]["image_size"], 8);
  EXPECT_EQ(result["config"]["embedding_dim"], 8);
  EXPECT_EQ(result["config"]["num_layers_per_block"], json({1, 1}));
  EXPECT_THAT(nestvit("inspect model").out, HasSubstr("bee"));
}

TEST_F(InspectCli, MistakesAreExplained) {
  expect_failure(nestvit("inspect nest_tiny_s196"), 2, {"nest_tiny_s196_224"});
  expect_failure(nestvit("inspect ./nowhere"), 1, {"nowhere"});
  expect_failure(nestvit("inspect nest_tiny_s16_32 --config.nest.embeding_dim=96"), 2,
                 {"embeding_dim", "embedding_dim"});
  expect_failure(nestvit("inspect nest_tiny_s16_32 --config.nest.num_heads=5"), 2, {"5", "192"});
  expect_failure(nestvit("inspect nest_tiny_s16_32 --config.nest.num_heads=word"), 2,
                 {"num_heads"});
  expect_failure(nestvit("inspect nest_tiny_s16_32 --config.nest.num_heads"), 2, {"has no value"});
  expect_failure(nestvit("inspect nest_tiny_s16_32 --img-size 33"), 2, {"33"});
}

}  // namespace
}  // namespace nestvit::testing
