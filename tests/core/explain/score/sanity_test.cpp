// Randomisation from the head downwards, with made-up maps.
#include "explain/score/sanity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "model/params.h"
#include "support/same_tensors.h"
#include "support/tiny_model.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;

TEST(Sanity, PartsGoFromTheHeadDownAndHoldEachParameterOnce) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_layers_per_block = {1, 2};
  config.image_size = 8;
  config.norm_type = Norm::kBatch;
  const std::vector<ModelPart> parts = parts_from_head(config);
  std::vector<std::string> names;
  std::set<std::string> parameters;
  size_t count = 0;
  for (const ModelPart& part : parts) {
    names.push_back(part.name);
    count += part.parameters.size();
    parameters.insert(part.parameters.begin(), part.parameters.end());
  }
  EXPECT_THAT(names, ElementsAre("head", "norm", "level 1, layer 1", "level 1, layer 0",
                                 "pooling before level 1", "level 0, layer 0", "patch embedding"));
  EXPECT_EQ(parameters.size(), count);
  for (const Param& param : parameter_table(config))
    EXPECT_EQ(parameters.contains(param.name), !param.buffer) << param.name;
}

TEST(Sanity, RandomisedModelsKeepTheRest) {
  const LoadedModel model = testing::tiny_model();
  const std::vector<ModelPart> parts = parts_from_head(model.config);
  const LoadedModel two = randomised(model, parts, 3, 99);
  const TensorMap fresh = initial_tensors(model.config, 99);
  for (size_t i = 0; i < parts.size(); ++i)
    for (const std::string& name : parts[i].parameters) {
      const auto& expected = i < 3 ? fresh.at(name) : model.tensors.at(name);
      EXPECT_TRUE(testing::same(two.tensors.at(name), expected)) << name;
    }
}

// A map that depends on one tensor.
std::vector<double> map_of(const LoadedModel& model, const std::string& name) {
  std::vector<double> map;
  for (int i = 0; i < 64; ++i) map.push_back(model.tensors.at(name).as<float>()[i]);
  return map;
}

// Property 17, with maps that see one part of the model each, and one that sees nothing of it.
TEST(Sanity, ExactlyOneBeforeAndUnlikeAfter) {
  const LoadedModel model = testing::tiny_model();
  std::vector<double> edges;
  for (int i = 0; i < 64; ++i) edges.push_back(std::sin(i));
  const MapsOf maps_of = [&](const LoadedModel& changed) {
    return std::vector<std::vector<std::vector<double>>>{
        {map_of(changed, "levels.1.transformer_encoder.0.mlp.fc1.weight")},
        {map_of(changed, "levels.0.transformer_encoder.0.mlp.fc1.weight")},
        {edges}};
  };
  int64_t last = 0, all = 0;
  const std::vector<SanityRow> rows =
      sanity(model, maps_of, {.seeds = 3, .seed = 5, .progress = [&](int64_t done, int64_t total) {
                                EXPECT_GT(done, last);
                                last = done;
                                all = total;
                              }});
  EXPECT_EQ(last, all);
  ASSERT_EQ(rows.size(), 7u);
  for (int method = 0; method < 3; ++method) {
    EXPECT_EQ(rows[0].methods[method].spearman, 1);
    EXPECT_EQ(rows[0].methods[method].spearman_of_magnitudes, 1);
    EXPECT_NEAR(rows[0].methods[method].similarity, 1, 1e-9);
    EXPECT_EQ(rows[2].part, "norm");
    EXPECT_EQ(rows[2].methods[method].spearman, 1);
  }
  EXPECT_EQ(rows[3].part, "level 1, layer 0");
  EXPECT_LT(rows[3].methods[0].spearman, 0.3);
  EXPECT_EQ(rows[3].methods[1].spearman, 1);
  EXPECT_LT(rows.back().methods[0].spearman, 0.3);
  EXPECT_LT(rows.back().methods[1].spearman, 0.3);
  EXPECT_EQ(rows.back().methods[2].spearman, 1);  // a map that knows nothing of the model is found
}

// tiny_model() starts from seed 7: drawn with the same seed it would be itself.
TEST(Sanity, DrawsAreNotThoseThatTrainingStartedFrom) {
  const LoadedModel model = testing::tiny_model();
  const MapsOf maps_of = [](const LoadedModel& changed) {
    return std::vector<std::vector<std::vector<double>>>{
        {map_of(changed, "levels.0.transformer_encoder.0.mlp.fc1.weight")}};
  };
  EXPECT_LT(sanity(model, maps_of, {.seeds = 1, .seed = 7}).back().methods[0].spearman, 0.5);
}

TEST(Sanity, ConstantMapsAreUndefined) {
  const MapsOf maps_of = [](const LoadedModel&) {
    return std::vector<std::vector<std::vector<double>>>{{std::vector<double>(16, 1)}};
  };
  const std::vector<SanityRow> rows = sanity(testing::tiny_model(), maps_of, {.seeds = 1});
  EXPECT_TRUE(std::isnan(rows.back().methods[0].spearman));
}

}  // namespace
}  // namespace nestvit
