// Token scores and trees: by hand, and by what must hold for any scores.
#include "explain/tree.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>
#include <set>

#include "core/explain/small_nest.h"
#include "support/errors.h"
#include "support/random_floats.h"

namespace nestvit {
namespace {

using testing::random_floats;
using testing::small_nest;

// Scores of 0 for each level.
std::vector<TokenScores> no_scores(const std::vector<Level>& levels) {
  std::vector<TokenScores> scores;
  for (const Level& level : levels) {
    const auto tokens = static_cast<size_t>(level.blocks) * level.tokens;
    scores.push_back({std::vector<double>(tokens), std::vector<double>(tokens)});
  }
  return scores;
}

std::vector<TokenScores> random_scores(const std::vector<Level>& levels, uint64_t seed) {
  std::vector<TokenScores> scores = no_scores(levels);
  for (size_t i = 0; i < levels.size(); ++i) {
    const auto values = random_floats(std::ssize(scores[i].values), seed + i);
    scores[i].values.assign(values.begin(), values.end());
    for (size_t n = 0; n < values.size(); ++n) scores[i].magnitudes[n] = std::abs(values[n]);
  }
  return scores;
}

std::vector<int> leaf_of(const Tree& tree) {
  std::vector<int> quadrants;
  for (const PathStep& step : tree.path) quadrants.push_back(step.quadrant);
  return quadrants;
}

TEST(TokenScores, SumProductsOverChannels) {
  const Level level = geometry(small_nest(1, 2, 1, 2)).front();
  const Activation activation{{1, 2, 3, 4, 5, 6, 7, 8}, {1, 1, 2, -1, 0, 0, -1, 0.5f}};
  const TokenScores scores = token_scores(activation, level, Sign::kAscent);
  EXPECT_EQ(scores.values, (std::vector<double>{3, 2, 0, -3}));
  EXPECT_EQ(scores.magnitudes, (std::vector<double>{3, 10, 0, 11}));
  const TokenScores paper = token_scores(activation, level, Sign::kPaper);
  EXPECT_EQ(paper.values, (std::vector<double>{-3, -2, 0, 3}));
  EXPECT_EQ(paper.magnitudes, scores.magnitudes);
}

TEST(TokenScores, NanAndInfinityAreErrors) {
  const Level level = geometry(small_nest(1, 1, 1, 2)).front();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Activation& activation :
       {Activation{{NAN, 1}, {1, 1}}, Activation{{1, 1}, {1, NAN}},
        Activation{{infinity, 1}, {1, 1}}, Activation{{infinity, 1}, {0, 1}},
        Activation{{1e30f, 1}, {1e30f, 1}}})
    testing::expect_error([&] { token_scores(activation, level, Sign::kAscent); },
                          {"level 0", "not finite", "NaN or infinity"});
}

TEST(TokenAt, IsTheBlockOrder) {
  const Level level = geometry(small_nest(2, 3)).front();
  EXPECT_EQ(token_at(level, 0, 0), 0);
  EXPECT_EQ(token_at(level, 1, 2), 5);       // block 0, row 1, column 2
  EXPECT_EQ(token_at(level, 1, 3), 9 + 3);   // block 1, row 1, column 0
  EXPECT_EQ(token_at(level, 5, 4), 27 + 7);  // block 3, row 2, column 1
  std::set<int> all;
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 6; ++x) all.insert(token_at(level, y, x));
  EXPECT_EQ(all.size(), 36u);
  EXPECT_EQ(*all.rbegin(), 35);
}

TEST(InputBox, IsTheBlocksPixels) {
  const std::vector<Level> levels = geometry(small_nest(3, 14, 4));
  EXPECT_EQ(input_box(levels[2], 0, 4), (PixelBox{0, 0, 224, 224}));
  EXPECT_EQ(input_box(levels[1], 2, 4), (PixelBox{0, 112, 112, 224}));
  EXPECT_EQ(input_box(levels[0], 7, 4), (PixelBox{168, 56, 224, 112}));
}

TEST(BuildTree, QuadrantsOfAnOddBlockShareItsMiddle) {
  const std::vector<Level> levels = geometry(small_nest(2, 3));
  std::vector<TokenScores> scores = no_scores(levels);
  scores[1].values = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  scores[1].magnitudes.assign(9, 5);
  const Tree tree = build_tree(levels, 1, scores);
  ASSERT_EQ(tree.nodes.size(), 5u);
  EXPECT_EQ(tree.nodes[0].score, 45);
  // 1 + 2/2 + 4/2 + 5/4, and so on round the middle.
  EXPECT_EQ(tree.nodes[1].score, 5.25);
  EXPECT_EQ(tree.nodes[2].score, 8.25);
  EXPECT_EQ(tree.nodes[3].score, 14.25);
  EXPECT_EQ(tree.nodes[4].score, 17.25);
  EXPECT_EQ(tree.nodes[4].share, 17.25 / 45);
  ASSERT_EQ(tree.path.size(), 1u);
  EXPECT_EQ(tree.path[0].level, 1);
  EXPECT_EQ(tree.path[0].quadrant, 3);
  EXPECT_EQ(tree.path[0].node, 4);
  EXPECT_EQ(tree.path[0].score, 17.25);
  EXPECT_EQ(tree.path[0].margin, 3 / 45.0);
  EXPECT_TRUE(tree.path[0].decided);
  EXPECT_TRUE(tree.nodes[4].chosen);
  EXPECT_FALSE(tree.nodes[3].chosen);
}

TEST(BuildTree, NegativeScoresAreWeighedByTheirSize) {
  const std::vector<Level> levels = geometry(small_nest(2, 2));
  std::vector<TokenScores> scores = no_scores(levels);
  scores[1].values = {-4, -1, -2, -3};
  scores[1].magnitudes = {4, 1, 2, 3};
  const Tree tree = build_tree(levels, 1, scores);
  EXPECT_EQ(leaf_of(tree), std::vector{1});
  EXPECT_DOUBLE_EQ(tree.nodes[1].share, -0.4);
  EXPECT_DOUBLE_EQ(tree.path[0].margin, 0.1);
}

// Each parent's children are made from its own tokens, at the places of the specification.
TEST(BuildTree, HasAllNodesInTheirPlaces) {
  const std::vector<Level> levels = geometry(small_nest(3, 4, 2));
  const std::vector<TokenScores> scores = random_scores(levels, 3);
  const Tree tree = build_tree(levels, 2, scores);
  ASSERT_EQ(tree.nodes.size(), 1u + 4 + 16);
  EXPECT_EQ(tree.nodes[0].parent, -1);
  EXPECT_EQ(tree.nodes[0].quadrant, -1);
  std::set<std::pair<int, int>> seen;
  int chosen = 0;
  for (size_t at = 0; at < tree.nodes.size(); ++at) {
    const TreeNode& node = tree.nodes[at];
    seen.insert({node.level, node.block});
    chosen += node.chosen;
    EXPECT_EQ(node.input_box, input_box(levels[node.level], node.block, 2));
    EXPECT_FALSE(node.box.has_value());
    if (at == 0) continue;
    ASSERT_TRUE(node.parent >= 0 && node.parent < static_cast<int>(at));
    EXPECT_EQ(node.quadrant, static_cast<int>((at - 1) % 4));
    const TreeNode& parent = tree.nodes[node.parent];
    EXPECT_EQ(node.level, parent.level - 1);
    // The quadrant's half of the parent's box.
    const double side = node.input_box[2] - node.input_box[0];
    EXPECT_EQ(node.input_box[0], parent.input_box[0] + node.quadrant % 2 * side);
    EXPECT_EQ(node.input_box[1], parent.input_box[1] + node.quadrant / 2 * side);
    // The sum of the parent's tokens whose pixels lie in this box.
    const Level& level = levels[parent.level];
    const double token = 2 << level.index;
    double sum = 0;
    for (int y = 0; y < level.map(); ++y)
      for (int x = 0; x < level.map(); ++x)
        if (x * token >= node.input_box[0] && x * token < node.input_box[2] &&
            y * token >= node.input_box[1] && y * token < node.input_box[3])
          sum += scores[level.index].values[token_at(level, y, x)];
    EXPECT_NEAR(node.score, sum, 1e-12);
  }
  EXPECT_EQ(seen.size(), 21u);
  EXPECT_EQ(chosen, 3);
}

// One hot token in each level, in the outer corner of the quadrant that leads to a leaf.
TEST(BuildTree, HotTokensLeadToTheirLeaf) {
  for (const int edge : {2, 3, 4, 5, 7}) {
    const std::vector<Level> levels = geometry(small_nest(3, edge));
    for (int leaf = 0; leaf < levels[0].blocks; ++leaf) {
      SCOPED_TRACE(std::to_string(edge) + " " + std::to_string(leaf));
      std::vector<TokenScores> scores = no_scores(levels);
      std::vector<int> expected;
      for (size_t i = 2; i > 0; --i) {
        const int down = 1 << (i - 1);  // blocks of level 0 to a quadrant's side
        const int y = leaf / levels[0].grid / down, x = leaf % levels[0].grid / down;
        const int block = y / 2 * levels[i].grid + x / 2;
        const int token = y % 2 * (edge - 1) * edge + x % 2 * (edge - 1);
        scores[i].values[block * levels[i].tokens + token] = 1;
        scores[i].magnitudes = scores[i].values;
        expected.push_back(y % 2 * 2 + x % 2);
      }
      const Tree tree = build_tree(levels, 1, scores);
      EXPECT_EQ(leaf_of(tree), expected);
      EXPECT_EQ(tree.nodes[tree.path.back().node].block, leaf);
      EXPECT_EQ(tree.path.back().margin, 1);
    }
  }
}

TEST(BuildTree, EqualScoresChooseTheFirstQuadrant) {
  for (const int edge : {1, 2, 3}) {
    const std::vector<Level> levels = geometry(small_nest(3, edge));
    std::vector<TokenScores> scores = no_scores(levels);
    for (TokenScores& level : scores) {
      level.values.assign(level.values.size(), 0.5);
      level.magnitudes = level.values;
    }
    const Tree tree = build_tree(levels, 1, scores);
    EXPECT_EQ(leaf_of(tree), (std::vector{0, 0}));
    for (const PathStep& step : tree.path) {
      EXPECT_EQ(step.margin, 0);
      EXPECT_TRUE(step.decided);
    }
  }
  // The first of the two best.
  const std::vector<Level> levels = geometry(small_nest(2, 2));
  std::vector<TokenScores> scores = no_scores(levels);
  scores[1].values = {1, 0, 2, 2};
  EXPECT_EQ(leaf_of(build_tree(levels, 1, scores)), std::vector{2});
}

TEST(BuildTree, ScoresOfZeroDecideNothing) {
  const std::vector<Level> levels = geometry(small_nest(3, 2));
  const Tree tree = build_tree(levels, 1, no_scores(levels));
  EXPECT_EQ(leaf_of(tree), (std::vector{0, 0}));
  for (const PathStep& step : tree.path) {
    EXPECT_FALSE(step.decided);
    EXPECT_EQ(step.margin, 0);
  }
  for (size_t at = 1; at < tree.nodes.size(); ++at) EXPECT_EQ(tree.nodes[at].share, 0);
}

// 1e-5 of what the scores are made of is where rounding ends.
TEST(BuildTree, ScoresBelowTheRoundingOfTheirPartsDecideNothing) {
  const std::vector<Level> levels = geometry(small_nest(2, 2));
  std::vector<TokenScores> scores = no_scores(levels);
  scores[1].values = {0.9e-5, 0, 0, 0};
  scores[1].magnitudes = {0.25, 0.25, 0.25, 0.25};
  EXPECT_FALSE(build_tree(levels, 1, scores).path[0].decided);
  scores[1].values[0] = 1.1e-5;
  EXPECT_TRUE(build_tree(levels, 1, scores).path[0].decided);
}

TEST(BuildTree, ScoresThatAreNotFiniteAreErrors) {
  const std::vector<Level> levels = geometry(small_nest(2, 2));
  std::vector<TokenScores> scores = no_scores(levels);
  scores[1].values[2] = std::nan("");
  testing::expect_error([&] { build_tree(levels, 1, scores); }, {"level 1", "not finite"});
}

TEST(BuildTree, OfOneLevelIsOneNode) {
  const std::vector<Level> levels = geometry(small_nest(1, 4, 2));
  const Tree tree = build_tree(levels, 2, no_scores(levels));
  ASSERT_EQ(tree.nodes.size(), 1u);
  EXPECT_TRUE(tree.path.empty());
  EXPECT_EQ(tree.nodes[0].input_box, (PixelBox{0, 0, 8, 8}));
}

// Rows and columns change places: so do quadrants 1 and 2, and nothing else.
TEST(BuildTree, TransposedScoresTransposeTheTree) {
  for (const int edge : {2, 3, 4}) {
    SCOPED_TRACE(edge);
    const std::vector<Level> levels = geometry(small_nest(3, edge));
    const std::vector<TokenScores> scores = random_scores(levels, 11);
    std::vector<TokenScores> transposed = scores;
    for (const Level& level : levels)
      for (int y = 0; y < level.map(); ++y)
        for (int x = 0; x < level.map(); ++x)
          transposed[level.index].values[token_at(level, x, y)] =
              scores[level.index].values[token_at(level, y, x)];
    const Tree tree = build_tree(levels, 1, scores);
    const Tree other = build_tree(levels, 1, transposed);
    std::vector<int> mirrored = leaf_of(tree);
    for (int& quadrant : mirrored) quadrant = quadrant % 2 * 2 + quadrant / 2;
    EXPECT_EQ(leaf_of(other), mirrored);
    for (const TreeNode& node : tree.nodes) {
      const int grid = levels[node.level].grid;
      const int block = node.block % grid * grid + node.block / grid;
      for (const TreeNode& twin : other.nodes)
        if (twin.level == node.level && twin.block == block) {
          EXPECT_NEAR(twin.score, node.score, 1e-12);
        }
    }
  }
}

// The tree of a difference of targets has the differences of the scores.
TEST(BuildTree, IsLinearInTheGradients) {
  const std::vector<Level> levels = geometry(small_nest(3, 3));
  std::vector<TokenScores> one, other, difference;
  for (const Level& level : levels) {
    const int64_t size = int64_t{1} * level.blocks * level.tokens * level.width;
    Activation a{random_floats(size, 1), random_floats(size, 2)};
    Activation b{a.values, random_floats(size, 3)};
    one.push_back(token_scores(a, level, Sign::kAscent));
    other.push_back(token_scores(b, level, Sign::kAscent));
    for (size_t i = 0; i < a.gradient.size(); ++i) a.gradient[i] -= b.gradient[i];
    difference.push_back(token_scores(a, level, Sign::kAscent));
  }
  const Tree first = build_tree(levels, 1, one), second = build_tree(levels, 1, other);
  const Tree both = build_tree(levels, 1, difference);
  for (size_t at = 0; at < both.nodes.size(); ++at)
    // f32 products: 2^-24 of each of at most 36 * 8, which are of order 1
    EXPECT_NEAR(both.nodes[at].score, first.nodes[at].score - second.nodes[at].score, 1e-4);
}

}  // namespace
}  // namespace nestvit
