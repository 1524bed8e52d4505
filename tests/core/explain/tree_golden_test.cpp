// Trees against those that follow from activations and gradients of the official code and of timm,
// in double precision (tools/goldens/explain_trees.py).
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/explain/golden_case.h"
#include "explain/maps.h"
#include "explain/tree.h"
#include "runtime/gradients.h"

namespace nestvit {
namespace {

using nlohmann::json;
using testing::golden_case;
using testing::GoldenCase;

// Sums of products that the forward and the backward rounded to f32.
constexpr double kTolerance = 2e-5;

// The gradients of each image's class by both ways to propagate.
std::map<std::string, std::vector<std::vector<Gradients>>> gradients_of(const GoldenCase& golden,
                                                                        const json& trees) {
  std::vector<int> classes(static_cast<size_t>(golden.batch));
  for (const json& tree : trees)
    classes.at(tree.at("image").get<size_t>()) = tree.at("class").get<int>();
  const auto targets = [&](int image, std::span<const float> logits) {
    std::vector<float> target(logits.size());
    target.at(static_cast<size_t>(classes.at(static_cast<size_t>(image)))) = 1;
    return std::vector<std::vector<float>>{target};
  };
  const GradientEngine engine(golden.model, 1);
  std::map<std::string, std::vector<std::vector<Gradients>>> result;
  for (const auto& [name, propagation] : {std::pair{"conservative", Propagation::kConservative},
                                          {"gradient", Propagation::kGradient}})
    result[name] = engine.run(golden.images, golden.batch, targets, {.propagation = propagation});
  return result;
}

std::vector<TokenScores> scores_of(const Gradients& gradients, const std::vector<Level>& levels,
                                   const json& golden) {
  const bool at_input = golden.at("site") == "input";
  const Sign sign = golden.at("sign") == "ascent" ? Sign::kAscent : Sign::kPaper;
  std::vector<TokenScores> scores(levels.size());
  for (size_t i = 1; i < levels.size(); ++i) {
    const LevelGradients& level = gradients.levels.at(i);
    scores[i] = token_scores(at_input ? level.input : level.output, levels[i], sign);
  }
  return scores;
}

// The place of the first of a block's children.
size_t children_of(const Tree& tree, const json& golden) {
  for (size_t at = 0; at < tree.nodes.size(); ++at) {
    if (tree.nodes[at].quadrant != 0) continue;
    const TreeNode& parent = tree.nodes[static_cast<size_t>(tree.nodes[at].parent)];
    if (parent.level == golden.at("level") && parent.block == golden.at("block")) return at;
  }
  throw std::runtime_error("the tree lacks a node of the golden one: " + golden.dump());
}

void expect_node(const Tree& tree, const json& golden) {
  SCOPED_TRACE("level " + golden.at("level").dump() + " block " + golden.at("block").dump());
  const size_t first = children_of(tree, golden);
  double absolutes = 0;
  for (const json& score : golden.at("scores")) absolutes += std::abs(score.get<double>());
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(tree.nodes[first + k].score, golden.at("scores").at(k).get<double>(),
                kTolerance * absolutes);
    EXPECT_NEAR(tree.nodes[first + k].share, golden.at("shares").at(k).get<double>(), kTolerance);
  }
}

void expect_path(const Tree& tree, const json& golden) {
  const auto path = golden.at("path").get<std::vector<int>>();
  ASSERT_LE(path.size(), tree.path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    EXPECT_EQ(tree.path[i].quadrant, path[i]);
    EXPECT_TRUE(tree.path[i].decided);
    const TreeNode& child = tree.nodes[static_cast<size_t>(tree.path[i].node)];
    for (const json& node : golden.at("nodes"))
      if (node.at("level") == child.level + 1 &&
          node.at("block") == tree.nodes[static_cast<size_t>(child.parent)].block) {
        EXPECT_NEAR(tree.path[i].margin, node.at("margin").get<double>(), 2 * kTolerance);
      }
  }
}

void expect_maps(const std::vector<TokenScores>& scores, const std::vector<Level>& levels,
                 const json& golden) {
  for (const json& level : golden.at("levels")) {
    const auto i = level.at("level").get<size_t>();
    const CellMap map = token_map(scores[i], levels[i], 1);
    if (!map.decided) continue;
    const double size = level.at("positive").get<double>() - level.at("negative").get<double>();
    EXPECT_NEAR(map.sum, level.at("sum").get<double>(), kTolerance * size);
    EXPECT_NEAR(map.positive, level.at("positive").get<double>(), kTolerance * size);
    EXPECT_NEAR(map.negative, level.at("negative").get<double>(), kTolerance * size);
  }
}

TEST(TreeGolden, EqualsTheTreesOfOtherPrograms) {
  const auto root = testing::golden_root_with("explain/trees.json");
  if (!std::filesystem::exists(root / "explain/trees.json"))
    GTEST_SKIP() << root / "explain/trees.json"
                 << " does not exist: there is nothing to compare";
  const json file = testing::golden_json(root / "explain/trees.json");
  size_t nodes = 0, undecided = 0;
  for (const json& golden : file.at("cases")) {
    const auto name = golden.at("case").get<std::string>();
    const GoldenCase loaded = golden_case(root / name);
    const std::vector<Level> levels = geometry(loaded.model.config);
    ASSERT_EQ(golden.at("levels"), levels.size());
    const auto gradients = gradients_of(loaded, golden.at("trees"));
    for (const json& expected : golden.at("trees")) {
      SCOPED_TRACE(name + " " + expected.at("image").dump() + " " + expected.at("site").dump() +
                   expected.at("propagation").dump() + expected.at("sign").dump());
      const Gradients& image = gradients.at(expected.at("propagation").get<std::string>())
                                   .at(expected.at("image").get<size_t>())
                                   .at(0);
      const std::vector<TokenScores> scores = scores_of(image, levels, expected);
      const Tree tree = build_tree(levels, loaded.model.config.init_patch_embed_size, scores);
      expect_path(tree, expected);
      expect_maps(scores, levels, expected);
      for (const json& node : expected.at("nodes")) {
        if (node.at("decided").get<bool>()) {
          expect_node(tree, node);
          ++nodes;
        } else if (node.at("level") == levels.size() - 1) {
          EXPECT_FALSE(tree.path.at(0).decided);
          ++undecided;
        }
      }
    }
  }
  EXPECT_GT(nodes, 0u);
  EXPECT_GT(undecided, 0u);
}

}  // namespace
}  // namespace nestvit
