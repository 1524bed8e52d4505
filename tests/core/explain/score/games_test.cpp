// Deletion and insertion with made-up models whose curves are known by hand.
#include "explain/score/games.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "explain/score/controls.h"

namespace nestvit {
namespace {

constexpr Grid kGrid{4, 2};  // 16 cells over 8 x 8 pixels
constexpr int kPixels = 64;

// Two classes; the logit of class 1 is `weight` times the sum of the pixels, that of class 0 is 0.
LogitsOf sum_model(float weight, std::vector<int>* batches = nullptr) {
  return [weight, batches](std::span<const float> images, int batch) {
    if (batches) batches->push_back(batch);
    std::vector<float> logits;
    for (int i = 0; i < batch; ++i) {
      const auto image = images.subspan(static_cast<size_t>(i) * kPixels, kPixels);
      logits.push_back(0);
      logits.push_back(weight * std::accumulate(image.begin(), image.end(), 0.0f));
    }
    return logits;
  };
}

// The image holds 1 in one cell, the substrate 0 everywhere.
std::vector<float> hot_cell(int cell) {
  std::vector<float> image(kPixels);
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 2; ++x) image[(cell / 4 * 2 + y) * 8 + cell % 4 * 2 + x] = 1;
  return image;
}

std::vector<int> order_with(int first) {
  std::vector<int> order(16);
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + first, order.end());
  return order;
}

TEST(Games, CurvesOfAStepByHand) {
  const std::vector<float> image = hot_cell(5), substrate(kPixels);
  const Games games = play({image, substrate, 1, 1}, kGrid, order_with(5), {4, 8}, sum_model(2));
  // The hot cell is the first of sixteen, so it is gone, or back, after the first step of four.
  EXPECT_EQ(games.deletion.share, (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(games.deletion.logit, (std::vector<double>{8, 0, 0, 0, 0}));
  EXPECT_EQ(games.insertion.logit, (std::vector<double>{0, 8, 8, 8, 8}));
  EXPECT_DOUBLE_EQ(games.deletion.probability[0], 1 / (1 + std::exp(-8.0)));
  EXPECT_EQ(games.deletion.probability[1], 0.5);
  EXPECT_DOUBLE_EQ(area(games.deletion.share, games.deletion.logit), 1);    // a triangle: 8/4/2
  EXPECT_DOUBLE_EQ(area(games.insertion.share, games.insertion.logit), 7);  // 8 less that
  EXPECT_DOUBLE_EQ(lerf_less_morf(games).logit, 6);
}

TEST(Games, LerfLessMorfIsThatOfTwoDeletions) {
  std::vector<float> image(kPixels), substrate(kPixels);
  for (int i = 0; i < kPixels; ++i) image[i] = std::sin(static_cast<float>(i * i));
  const LogitsOf model = sum_model(0.3f);
  const std::vector<int> most = order_with(7);
  const std::vector<int> least(most.rbegin(), most.rend());
  const auto deleted = [&](const std::vector<int>& order) {
    const Games games = play({image, substrate, 1, 1}, kGrid, order, {8, 3}, model);
    return std::pair(area(games.deletion.share, games.deletion.probability),
                     area(games.deletion.share, games.deletion.logit));
  };
  const LerfMorf fast = lerf_less_morf(play({image, substrate, 1, 1}, kGrid, most, {8, 3}, model));
  EXPECT_NE(fast.logit, 0);
  // Sums of 64 f32 in the same order: the same pictures, so the same bits but for the last sum.
  EXPECT_NEAR(fast.probability, deleted(least).first - deleted(most).first, 1e-12);
  EXPECT_NEAR(fast.logit, deleted(least).second - deleted(most).second, 1e-12);
}

TEST(Games, BatchesChangeNothingAndForwardsAreAsPromised) {
  std::vector<float> image(kPixels), substrate(kPixels, 0.5f);
  for (int i = 0; i < kPixels; ++i) image[i] = std::cos(static_cast<float>(3 * i));
  std::vector<int> batches;
  const Games one = play({image, substrate, 1, 0}, kGrid, order_with(3), {7, 1}, sum_model(1));
  const Games five =
      play({image, substrate, 1, 0}, kGrid, order_with(3), {7, 5}, sum_model(1, &batches));
  EXPECT_EQ(one.deletion.probability, five.deletion.probability);
  EXPECT_EQ(one.insertion.logit, five.insertion.logit);
  EXPECT_EQ(batches, (std::vector<int>{5, 5, 4}));  // 2 * 7
  EXPECT_EQ(one.deletion.logit.front(), one.insertion.logit.back());
  EXPECT_EQ(one.deletion.logit.back(), one.insertion.logit.front());
}

TEST(Games, MoreStepsThanCellsAreACellAStep) {
  const std::vector<float> image = hot_cell(0), substrate(kPixels);
  EXPECT_EQ(play({image, substrate, 1, 1}, kGrid, order_with(0), {224, 8}, sum_model(1))
                .deletion.share.size(),
            17u);
}

TEST(Games, TheAreaOfAStepFunctionByHand) {
  const std::vector<double> x = {0, 0.25, 0.25, 1}, y = {1, 1, 0, 0};
  EXPECT_DOUBLE_EQ(area(x, y), 0.25);
  EXPECT_DOUBLE_EQ(area(std::vector<double>{0, 1}, std::vector<double>{0.2, 0.6}), 0.4);
}

TEST(Ranking, IsByValueAndNeverByMagnitude) {
  EXPECT_EQ(ranking(std::vector<double>{-9, 2, 0, 1}, 1, 0), (std::vector<int>{1, 3, 2, 0}));
}

TEST(Ranking, TiesAreShuffledByTheSeedAndTheImage) {
  const std::vector<double> constant(64, 3);
  const std::vector<int> order = ranking(constant, 1, 0);
  EXPECT_EQ(order, ranking(constant, 1, 0));
  EXPECT_NE(order, ranking(constant, 2, 0));
  EXPECT_NE(order, ranking(constant, 1, 1));
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < 64; ++i) EXPECT_EQ(sorted[i], i);
  EXPECT_NE(sorted, order);
}

// Property 14: a constant map plays as the random control of its seed does.
TEST(Games, AConstantMapIsTheRandomControl) {
  std::vector<float> image(kPixels), substrate(kPixels);
  for (int i = 0; i < kPixels; ++i) image[i] = std::sin(static_cast<float>(5 * i));
  CellMap constant;
  constant.rows = constant.columns = 4;
  constant.values.assign(16, 0.7f);
  const auto curves = [&](const CellMap& map, uint64_t seed) {
    return play({image, substrate, 1, 1}, kGrid, ranking(on_grid(map, kGrid), seed, 9), {8, 4},
                sum_model(1));
  };
  const Games of_constant = curves(constant, 5), of_random = curves(random_map(kGrid, 5, 9), 5);
  EXPECT_EQ(of_constant.deletion.logit, of_random.deletion.logit);
  EXPECT_EQ(of_constant.insertion.logit, of_random.insertion.logit);
  EXPECT_NE(of_constant.deletion.logit, curves(random_map(kGrid, 6, 9), 6).deletion.logit);
}

TEST(ScoreGrid, IsTheCoarsestLevelWithEnoughCells) {
  const auto grid_of = [](const char* name) { return score_grid(variant(name)); };
  EXPECT_EQ(grid_of("nest_tiny_s196_224").side, 14);
  EXPECT_EQ(grid_of("nest_tiny_s196_224").cell, 16);
  EXPECT_EQ(grid_of("nest_tiny_s16_32").side, 16);  // the level above has 8 x 8
  EXPECT_EQ(grid_of("nest_tiny_s16_32").cell, 2);
  NestConfig tiny = variant("nest_tiny_s16_32");
  tiny.image_size = 8;
  tiny.num_layers_per_block = {1, 1};
  EXPECT_EQ(score_grid(tiny).side, 8);  // no level has enough: the finest
}

TEST(ScoreGrid, FinerMapsAreSummedAndCoarserOnesRepeated) {
  CellMap fine;
  fine.rows = fine.columns = 4;
  for (int i = 0; i < 16; ++i) fine.values.push_back(static_cast<float>(i));
  EXPECT_EQ(on_grid(fine, {2, 4}), (std::vector<double>{0 + 1 + 4 + 5, 2 + 3 + 6 + 7,
                                                        8 + 9 + 12 + 13, 10 + 11 + 14 + 15}));
  CellMap coarse;
  coarse.rows = coarse.columns = 1;
  coarse.values = {-2};
  EXPECT_EQ(on_grid(coarse, {2, 4}), (std::vector<double>{-2, -2, -2, -2}));
}

}  // namespace
}  // namespace nestvit
