// Scores tokens, sums them over quadrants, walks down the best children.
#include "explain/tree.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace nestvit {
namespace {

// Scores whose magnitudes sum to less than this share of what they are made of are rounding.
constexpr double kUndecided = 1e-5;

[[noreturn]] void not_finite(int level) {
  throw Error(fmt::format("scores of level {} are not finite", level),
              "the weights or the input hold NaN or infinity");
}

// How much of row (or column) `at` of a block belongs to its upper (or left) half: the middle one
// of an odd edge is shared.
double upper_share(int at, int edge) {
  if (2 * at + 1 == edge) return 0.5;
  return 2 * at < edge ? 1 : 0;
}

// The scores of a block's four quadrants, row by row.
std::array<double, 4> quadrant_scores(const Level& level, int block, const TokenScores& scores) {
  std::array<double, 4> sums{};
  const double* tokens = &scores.values[static_cast<size_t>(block) * level.tokens];
  for (int y = 0; y < level.edge; ++y)
    for (int x = 0; x < level.edge; ++x) {
      const double score = tokens[y * level.edge + x];
      const double up = upper_share(y, level.edge), left = upper_share(x, level.edge);
      sums[0] += up * left * score;
      sums[1] += up * (1 - left) * score;
      sums[2] += (1 - up) * left * score;
      sums[3] += (1 - up) * (1 - left) * score;
    }
  return sums;
}

double block_sum(const std::vector<double>& tokens, const Level& level, int block) {
  double sum = 0;
  for (int n = 0; n < level.tokens; ++n)
    sum += tokens[static_cast<size_t>(block) * level.tokens + n];
  return sum;
}

}  // namespace

bool is_decided(double sum_of_absolutes, double magnitude) {
  return sum_of_absolutes > 0 && sum_of_absolutes >= kUndecided * magnitude;
}

TokenScores token_scores(const Activation& activation, const Level& level, Sign sign) {
  const size_t tokens = static_cast<size_t>(level.blocks) * level.tokens;
  const size_t width = static_cast<size_t>(level.width);
  NESTVIT_CHECK(activation.values.size() == tokens * width &&
                activation.gradient.size() == tokens * width);
  TokenScores scores{std::vector<double>(tokens), std::vector<double>(tokens)};
  for (size_t n = 0; n < tokens; ++n) {
    double sum = 0, magnitude = 0;
    for (size_t c = n * width; c < (n + 1) * width; ++c) {
      const float product = activation.values[c] * activation.gradient[c];
      sum += product;
      magnitude += std::abs(product);
    }
    if (!std::isfinite(magnitude)) not_finite(level.index);
    scores.values[n] = sign == Sign::kPaper ? -sum : sum;
    scores.magnitudes[n] = magnitude;
  }
  return scores;
}

TreeNode root_node(const Level& top, int pixels_per_token) {
  TreeNode root;
  root.level = top.index;
  root.share = 1;
  root.chosen = true;
  root.input_box = input_box(top, 0, pixels_per_token);
  return root;
}

int add_children(Tree& tree, int parent, const std::vector<Level>& levels, int pixels_per_token,
                 const std::array<double, 4>& scores) {
  const int first = static_cast<int>(tree.nodes.size());
  const TreeNode& node = tree.nodes[static_cast<size_t>(parent)];
  const int parent_block = node.block, level = node.level - 1;
  const int grid = levels[static_cast<size_t>(level) + 1].grid;
  const int y = parent_block / grid, x = parent_block % grid;
  double absolutes = 0;
  for (const double score : scores) absolutes += std::abs(score);
  if (!std::isfinite(absolutes)) not_finite(level + 1);
  for (int k = 0; k < 4; ++k) {
    TreeNode child;
    child.level = level;
    child.block = (2 * y + k / 2) * 2 * grid + 2 * x + k % 2;
    child.parent = parent;
    child.quadrant = k;
    child.score = scores[static_cast<size_t>(k)];
    child.share = absolutes > 0 ? child.score / absolutes : 0;
    child.input_box = input_box(levels[static_cast<size_t>(level)], child.block, pixels_per_token);
    tree.nodes.push_back(child);
  }
  return first;
}

int choose_child(Tree& tree, int first, double magnitude) {
  const std::span<TreeNode> four(&tree.nodes[static_cast<size_t>(first)], 4);
  int best = 0;
  double absolutes = 0;
  for (int k = 0; k < 4; ++k) {
    if (four[k].score > four[best].score) best = k;
    absolutes += std::abs(four[k].score);
  }
  double second = -INFINITY;
  for (int k = 0; k < 4; ++k)
    if (k != best) second = std::max(second, four[k].score);
  four[best].chosen = true;
  PathStep step;
  step.level = four[best].level + 1;
  step.quadrant = best;
  step.node = first + best;
  step.score = four[best].score;
  step.margin = absolutes > 0 ? (four[best].score - second) / absolutes : 0;
  step.decided = is_decided(absolutes, magnitude);
  tree.path.push_back(step);
  return step.node;
}

Tree build_tree(const std::vector<Level>& levels, int pixels_per_token,
                const std::vector<TokenScores>& scores) {
  NESTVIT_CHECK(!levels.empty() && scores.size() == levels.size());
  const Level& top = levels.back();
  Tree tree;
  tree.nodes.push_back(root_node(top, pixels_per_token));
  if (levels.size() > 1) tree.nodes[0].score = block_sum(scores.back().values, top, 0);
  int chosen = 0;
  // Grows: nodes are visited in the order in which they were added, a level after the other.
  for (size_t at = 0; at < tree.nodes.size() && tree.nodes[at].level > 0; ++at) {
    const auto i = static_cast<size_t>(tree.nodes[at].level);
    const int block = tree.nodes[at].block;
    const int first = add_children(tree, static_cast<int>(at), levels, pixels_per_token,
                                   quadrant_scores(levels[i], block, scores[i]));
    if (static_cast<int>(at) == chosen)
      chosen = choose_child(tree, first, block_sum(scores[i].magnitudes, levels[i], block));
  }
  return tree;
}

PixelBox input_box(const Level& level, int block, int pixels_per_token) {
  const double side = static_cast<double>(level.edge) * pixels_per_token * (1 << level.index);
  const double y = block / level.grid * side, x = block % level.grid * side;
  return {x, y, x + side, y + side};
}

int token_at(const Level& level, int y, int x) {
  const int block = y / level.edge * level.grid + x / level.edge;
  return block * level.tokens + y % level.edge * level.edge + x % level.edge;
}

}  // namespace nestvit
