// Paths against made-up drops.
#include "explain/score/tree_faithfulness.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace nestvit {
namespace {

// Two levels below the root: 4 nodes, 16 leaves, with these drops. As occlusion_tree(): siblings
// beside each other, each node after its parent.
Tree tree_of(const std::vector<double>& nodes, const std::vector<double>& leaves) {
  Tree tree;
  const auto add = [&](int level, int block, int parent, double score) {
    TreeNode& node = tree.nodes.emplace_back();
    node.level = level;
    node.block = block;
    node.parent = parent;
    node.quadrant = parent < 0 ? -1 : block % 4;
    node.score = score;
  };
  add(2, 0, -1, 0);
  for (int k = 0; k < 4; ++k) add(1, k, 0, nodes[k]);
  for (int i = 0; i < 16; ++i) add(0, i, 1 + i / 4, leaves[i]);
  return tree;
}

std::vector<double> up_to(int n) {
  std::vector<double> values;
  for (int i = 0; i < n; ++i) values.push_back(i);
  return values;
}

TEST(TreeFaithfulness, RanksTheLeafAndCountsTheSteps) {
  const Tree drops = tree_of({0, 1, 2, 3}, up_to(16));
  const TreeFaithfulness best = tree_faithfulness(drops, std::vector<int>{3, 3});
  EXPECT_EQ(best.leaf_rank, 1);
  EXPECT_EQ(best.agreement, 1);
  const TreeFaithfulness worst = tree_faithfulness(drops, std::vector<int>{0, 0});
  EXPECT_EQ(worst.leaf_rank, 0);
  EXPECT_EQ(worst.agreement, 0);
  const TreeFaithfulness half = tree_faithfulness(drops, std::vector<int>{1, 3});  // leaf 7 of 15
  EXPECT_DOUBLE_EQ(half.leaf_rank, 7.0 / 15);
  EXPECT_EQ(half.agreement, 0.5);
}

TEST(TreeFaithfulness, ChanceIsAHalfAndAQuarter) {
  const Tree drops = tree_of({3, -1, 0, 2}, up_to(16));
  double rank = 0, agreement = 0;
  for (int i = 0; i < 16; ++i) {
    const TreeFaithfulness score = tree_faithfulness(drops, std::vector<int>{i / 4, i % 4});
    rank += score.leaf_rank / 16;
    agreement += score.agreement / 16;
  }
  EXPECT_NEAR(rank, 0.5, 1e-12);
  EXPECT_NEAR(agreement, 0.25, 1e-12);
}

TEST(TreeFaithfulness, WhereNothingMattersEveryPathIsChance) {
  const Tree drops = tree_of(std::vector<double>(4), std::vector<double>(16));
  const TreeFaithfulness score = tree_faithfulness(drops, std::vector<int>{2, 1});
  EXPECT_EQ(score.leaf_rank, 0.5);
  EXPECT_EQ(score.agreement, 0.25);
  EXPECT_TRUE(std::isnan(tree_faithfulness(drops, {}).leaf_rank));
}

std::vector<Level> levels_of(const char* name) { return geometry(variant(name)); }

TEST(PathOfMap, OneHotCellIsFoundFromTheRoot) {
  const std::vector<Level> levels = levels_of("nest_tiny_s196_224");  // 4 x 4 leaves
  for (const int side : {14, 28, 56})
    for (int leaf = 0; leaf < 16; ++leaf) {
      CellMap map;
      map.rows = map.columns = side;
      map.values.assign(static_cast<size_t>(side) * side, 0);
      const int y = (2 * (leaf / 4) + 1) * side / 8, x = (2 * (leaf % 4) + 1) * side / 8;
      map.values[y * side + x] = 1;
      const std::vector<int> path = path_of_map(map, levels);
      ASSERT_EQ(path.size(), 2u);
      EXPECT_EQ(2 * (path[0] / 2) + path[1] / 2, leaf / 4);
      EXPECT_EQ(2 * (path[0] % 2) + path[1] % 2, leaf % 4);
    }
}

TEST(PathOfMap, TiesGoToTheFirstQuadrantAndSumsDecide) {
  const std::vector<Level> levels = levels_of("nest_tiny_s16_32");
  CellMap map;
  map.rows = map.columns = 8;
  map.values.assign(64, 0);
  EXPECT_EQ(path_of_map(map, levels), (std::vector<int>{0, 0, 0}));
  map.values[0] = 3;   // the largest value is top left
  map.values[36] = 2;  // more in all is bottom right
  map.values[63] = 2;
  EXPECT_EQ(path_of_map(map, levels).front(), 3);
}

TEST(PathOfMap, AModelOfOneLevelHasNone) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_layers_per_block = {1};
  config.image_size = 4;
  CellMap map;
  map.rows = map.columns = 1;
  map.values = {1};
  EXPECT_TRUE(path_of_map(map, geometry(config)).empty());
}

TEST(Quadrants, AreThoseOfThePath) {
  Tree tree;
  tree.path.resize(2);
  tree.path[0].quadrant = 2;
  tree.path[1].quadrant = 1;
  EXPECT_EQ(quadrants(tree), (std::vector<int>{2, 1}));
}

TEST(BlockSums, SplitCellsByArea) {
  CellMap map;
  map.rows = map.columns = 3;
  map.values = {1, 2, 3, 4, 8, 6, 7, 8, 9};
  // The middle row and column lie half in either part.
  const std::vector<double> sums = block_sums(map, 2), expected = {6, 9, 15, 18};
  ASSERT_EQ(sums.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(sums[i], expected[i], 1e-12);
}

// A model whose logit is the sum of the pixels: each block costs what it holds.
TEST(MuFidelity, IsOneForTheTruthAndMinusOneForItsOpposite) {
  std::vector<float> image(64);
  const std::vector<float> substrate(64);
  CellMap truth, opposite;
  truth.rows = truth.columns = opposite.rows = opposite.columns = 4;
  for (int cell = 0; cell < 16; ++cell) {
    truth.values.push_back(static_cast<float>(1 << cell));  // no two sets have one sum
    opposite.values.push_back(-truth.values.back());
    image[(cell / 4 * 2) * 8 + cell % 4 * 2] = truth.values.back();
  }
  std::vector<int> batches;
  const LogitsOf model = [&](std::span<const float> images, int batch) {
    batches.push_back(batch);
    std::vector<float> logits;
    for (int i = 0; i < batch; ++i) {
      const auto one = images.subspan(static_cast<size_t>(i) * 64, 64);
      logits.push_back(std::accumulate(one.begin(), one.end(), 0.0f));
    }
    return logits;
  };
  const MaskedSets sets =
      mask_sets({image, substrate, 1, 0}, {4, 2}, {.count = 20, .batch = 8}, model);
  EXPECT_EQ(batches, (std::vector<int>{1, 8, 8, 4}));
  for (const std::vector<int>& blocks : sets.blocks)
    EXPECT_EQ(std::set<int>(blocks.begin(), blocks.end()).size(), 3u);  // 20 % of 16
  EXPECT_EQ(mu_fidelity(sets, block_sums(truth, 4)), 1);
  EXPECT_EQ(mu_fidelity(sets, block_sums(opposite, 4)), -1);
  EXPECT_TRUE(std::isnan(mu_fidelity(sets, std::vector<double>(16, 1))));
  // Whatever the batch, and by the seed and the image.
  const auto drops = [&](const SetOptions& options) {
    return mask_sets({image, substrate, 1, 0}, {4, 2}, options, model).drops;
  };
  EXPECT_EQ(drops({.count = 20, .batch = 3}), sets.drops);
  EXPECT_NE(drops({.count = 20, .seed = 1}), sets.drops);
  EXPECT_NE(drops({.count = 20, .number = 1}), sets.drops);
}

}  // namespace
}  // namespace nestvit
