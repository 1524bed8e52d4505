// Heat maps by hand, and the identities that hold exactly.
#include "explain/maps.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "core/explain/small_nest.h"
#include "support/errors.h"
#include "support/random_floats.h"

namespace nestvit {
namespace {

using testing::random_floats;
using testing::small_nest;

// Two levels of 2 x 2 tokens and 2 channels: the plane of ConvPool 1 is 4 x 4.
const NestConfig kConfig = small_nest(2, 2, 1, 2);

Gradients with_plane(Activation aggregated) {
  Gradients gradients;
  gradients.levels.resize(2);
  gradients.levels[1].aggregated = std::move(aggregated);
  return gradients;
}

// Zero but for one cell.
Gradients one_cell(size_t cell, std::pair<float, float> values, std::pair<float, float> gradients) {
  Activation plane{std::vector<float>(32), std::vector<float>(32)};
  std::tie(plane.values[2 * cell], plane.values[2 * cell + 1]) = values;
  std::tie(plane.gradient[2 * cell], plane.gradient[2 * cell + 1]) = gradients;
  return with_plane(plane);
}

TEST(TokenMap, PutsBlocksWhereTheyLie) {
  const Level level = geometry(small_nest(2, 2, 4)).front();
  TokenScores scores;
  for (int i = 0; i < 16; ++i) {
    scores.values.push_back(i - 4);
    scores.magnitudes.push_back(20);
  }
  const CellMap map = token_map(scores, level, 4);
  EXPECT_EQ(map.values, (std::vector<float>{-4, -3, 0, 1,  //
                                            -2, -1, 2, 3,  //
                                            4, 5, 8, 9,    //
                                            6, 7, 10, 11}));
  EXPECT_EQ(map.level, 0);
  EXPECT_EQ(map.rows, 4);
  EXPECT_EQ(map.columns, 4);
  EXPECT_EQ(map.cell, 4);
  EXPECT_TRUE(map.is_signed);
  EXPECT_TRUE(map.decided);
  EXPECT_EQ(map.positive, 66);
  EXPECT_EQ(map.negative, -10);
  EXPECT_EQ(map.sum, 56);
}

TEST(TokenMap, OfRoundingIsUndecided) {
  const Level level = geometry(small_nest(1, 1)).front();
  EXPECT_FALSE(token_map({{1e-6}, {1}}, level, 1).decided);
  EXPECT_TRUE(token_map({{1e-4}, {1}}, level, 1).decided);
  EXPECT_FALSE(token_map({{0}, {0}}, level, 1).decided);
}

TEST(Relevance, SumsChannelsOfTheCell) {
  const CellMap map = relevance(one_cell(6, {2, -3}, {0.5f, 1}), kConfig, 1);
  ASSERT_EQ(map.values.size(), 16u);
  EXPECT_EQ(map.values[6], -2);
  EXPECT_EQ(map.rows, 4);
  EXPECT_EQ(map.cell, 1);
  EXPECT_EQ(map.level, 1);
  EXPECT_EQ(map.sum, -2);
  EXPECT_EQ(map.positive, 0);
  EXPECT_EQ(map.negative, -2);
  for (size_t i = 0; i < 16; ++i) EXPECT_TRUE(i == 6 || map.values[i] == 0);
}

TEST(Relevance, OfTheSecondPoolHasCellsOfTwoTokens) {
  const NestConfig config = small_nest(3, 2, 4, 2);
  Gradients gradients;
  gradients.levels.resize(3);
  gradients.levels[2].aggregated = {std::vector<float>(32, 1), std::vector<float>(32, 0.25f)};
  const CellMap map = relevance(gradients, config, 2);
  EXPECT_EQ(map.rows, 4);
  EXPECT_EQ(map.cell, 8);
  EXPECT_EQ(map.sum, 8);
}

TEST(PixelRelevance, SumsTheColours) {
  const NestConfig config = small_nest(1, 2);
  Gradients gradients;
  gradients.pixels = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                      {1, 0, 0, 1, 1, 0, -1, 0, 1, 1, 0, 0}};
  const CellMap map = pixel_relevance(gradients, config);
  EXPECT_EQ(map.values, (std::vector<float>{1 + 5 + 9, 10, -7, 4}));
  EXPECT_EQ(map.level, -1);
  EXPECT_EQ(map.rows, 2);
  EXPECT_EQ(map.cell, 1);
}

TEST(LayerCam, CountsGradientsAboveZeroAndCutsTheSum) {
  EXPECT_EQ(layer_cam(one_cell(3, {2, -3}, {0.5f, -1}), kConfig, 1).values[3], 1);
  EXPECT_EQ(layer_cam(one_cell(3, {2, -3}, {0.5f, 1}), kConfig, 1).values[3], 0);
  EXPECT_EQ(layer_cam(one_cell(3, {2, 3}, {0.5f, 1}), kConfig, 1).values[3], 4);
  EXPECT_FALSE(layer_cam(one_cell(3, {2, 3}, {0.5f, 1}), kConfig, 1).is_signed);
}

TEST(GradCam, WeighsChannelsByTheirMeanGradient) {
  Gradients gradients = one_cell(0, {2, 1}, {16, 0});  // means 1 and 0
  gradients.levels[1].aggregated.values[10] = 3;       // cell 5
  gradients.levels[1].aggregated.values[12] = -3;      // cell 6
  const CellMap map = grad_cam(gradients, kConfig, 1);
  EXPECT_EQ(map.values[0], 2);
  EXPECT_EQ(map.values[5], 3);
  EXPECT_EQ(map.values[6], 0);
  EXPECT_EQ(map.sum, 5);
  EXPECT_FALSE(map.is_signed);
}

TEST(HeatMaps, WithNothingAboveZeroAreZero) {
  for (const auto& method : {layer_cam, grad_cam}) {
    const CellMap map = method(one_cell(2, {-1, -1}, {1, 1}), kConfig, 1);
    EXPECT_EQ(map.positive, 0);
    EXPECT_EQ(map.sum, 0);
    EXPECT_EQ(map.values, std::vector<float>(16));
  }
}

TEST(HeatMaps, NanIsAnError) {
  for (const auto& method : {relevance, layer_cam, grad_cam}) {
    testing::expect_error(
        [&] {
          method(one_cell(2, {NAN, 1}, {1, 1}), kConfig, 1);
        },
        {"not finite", "NaN or infinity"});
    testing::expect_error(
        [&] {
          method(one_cell(2, {1, 1}, {NAN, 1}), kConfig, 1);
        },
        {"not finite"});
  }
}

// The head's inputs, weights and targets of a network of random numbers.
struct Head {
  Level top = geometry(small_nest(2, 4, 1, 8)).back();
  Activation z{random_floats(16 * 8, 1), {}};
  std::vector<float> weights = random_floats(3 * 8, 2), biases = random_floats(3, 3);

  double target(const std::vector<float>& t) const {
    double sum = 0;
    for (size_t k = 0; k < 3; ++k) {
      double logit = biases[k];
      for (size_t i = 0; i < z.values.size(); ++i)
        logit += static_cast<double>(z.values[i]) * weights[k * 8 + i % 8] / 16;
      sum += t[k] * logit;
    }
    return sum;
  }
};

TEST(Cam, SumsToTheTargetLessTheBias) {
  const Head head;
  for (const std::vector<float>& t : {std::vector<float>{0, 1, 0}, {1, -1, 0}, {0.5f, 0.2f, -1}}) {
    const CellMap map = cam(head.z, head.weights, t, head.top, 1);
    double bias = 0;
    for (size_t k = 0; k < 3; ++k) bias += static_cast<double>(t[k]) * head.biases[k];
    EXPECT_NEAR(map.sum, head.target(t) - bias, 1e-5 * (map.positive - map.negative));
    EXPECT_EQ(map.rows, 4);
    EXPECT_EQ(map.cell, 2);
    EXPECT_EQ(map.level, 1);
  }
}

TEST(Cam, ByHand) {
  const Level top = geometry(small_nest(1, 2, 1, 2)).back();
  const Activation z{{1, 0, 0, 1, 2, 2, -1, 0}, {}};
  const CellMap map = cam(z, std::vector<float>{4, 8, 1, 1}, std::vector<float>{1, 0}, top, 1);
  EXPECT_EQ(map.values, (std::vector<float>{1, 2, 6, -1}));
}

// On the final norm's output, whose gradient is the same for all tokens, Grad-CAM is max(0, CAM).
TEST(GradCam, OfTheFinalNormIsTheCamAboveZero) {
  const Head head;
  const std::vector<float> t = {0, 1, -1};
  const CellMap map = cam(head.z, head.weights, t, head.top, 1);
  // The plane of ConvPool 1 of this network is as large as the top of `head`.
  const NestConfig config = small_nest(2, 2, 1, 8);
  Activation plane{head.z.values, std::vector<float>(head.z.values.size())};
  for (size_t i = 0; i < plane.gradient.size(); ++i)
    plane.gradient[i] = (head.weights[8 + i % 8] - head.weights[16 + i % 8]) / 16;
  const CellMap grad = grad_cam(with_plane(plane), config, 1);
  ASSERT_EQ(grad.values.size(), map.values.size());
  EXPECT_LT(map.negative, 0);
  for (size_t i = 0; i < map.values.size(); ++i)
    EXPECT_NEAR(grad.values[i], std::max(map.values[i], 0.0f), 1e-6);
}

}  // namespace
}  // namespace nestvit
