// Masks, and what they cost: against forwards of images that the test masks itself.
#include "explain/occlusion.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/explain/small_nest.h"
#include "explain/tree.h"
#include "runtime/engine.h"
#include "support/random_floats.h"
#include "weights/model_dir.h"

namespace nestvit {
namespace {

using testing::random_floats;
using testing::small_nest;

LoadedModel model_of(const NestConfig& config) {
  LoadedModel model;
  model.config = config;
  model.tensors = initial_tensors(model.config, 5);
  // Logits of order one.
  model.tensors["head.weight"] =
      Tensor::f32(model.tensors.at("head.weight").shape(),
                  random_floats(model.tensors.at("head.weight").size(), 6));
  return model;
}

class Occlusion : public ::testing::Test {
 protected:
  NestConfig config = small_nest(3, 2);
  GradientEngine engine{model_of(config), 1};
  std::vector<float> image = random_floats(3 * 8 * 8, 1);
  std::vector<float> fill = std::vector<float>(image.size());
  std::vector<float> target = {1, -1, 0};

  double value(const std::vector<float>& pixels) const {
    const std::vector<float> logits = engine.logits(pixels, 1);
    return static_cast<double>(logits[0]) - logits[1];
  }
  std::vector<float> masked(const PixelBox& box, const std::vector<float>& by) const {
    std::vector<float> result = image;
    for (int c = 0; c < 3; ++c)
      for (int y = static_cast<int>(box[1]); y < static_cast<int>(box[3]); ++y)
        for (int x = static_cast<int>(box[0]); x < static_cast<int>(box[2]); ++x)
          result[(c * 8 + y) * 8 + x] = by[(c * 8 + y) * 8 + x];
    return result;
  }
};

TEST_F(Occlusion, DropsAreWhatTheTargetLoses) {
  fill = random_floats(std::ssize(image), 9);
  std::vector<PixelBox> boxes = {
      {0, 0, 4, 4}, {6, 2, 8, 4}, {0, 0, 8, 8}, {2, 6, 4, 8}, {4, 4, 4, 8}};
  const std::vector<double> drops = occlusion_drops(engine, image, fill, target, boxes);
  ASSERT_EQ(drops.size(), boxes.size());
  for (size_t i = 0; i < boxes.size(); ++i)
    EXPECT_EQ(drops[i], value(image) - value(masked(boxes[i], fill))) << i;
  EXPECT_NE(drops[0], drops[1]);
  EXPECT_EQ(drops[4], 0);  // an empty box
  for (const int batch : {1, 2, 5})
    EXPECT_EQ(occlusion_drops(engine, image, fill, target, boxes, batch), drops);
}

TEST_F(Occlusion, MaskingWhatIsTheFillDropsNothing) {
  const PixelBox empty = {4, 0, 8, 4};
  image = masked(empty, fill);
  const std::vector<double> drops =
      occlusion_drops(engine, image, fill, target, std::vector<PixelBox>{empty, {0, 0, 4, 4}});
  EXPECT_EQ(drops[0], 0);
  EXPECT_NE(drops[1], 0);
}

// Level 0 works on blocks alone, so a mask that ends where they end changes no other block.
TEST_F(Occlusion, MasksChangeTheirBlocksAloneAtLevelZero) {
  const Engine forward(model_of(config), {.threads = 1});
  const Level level = geometry(config).front();
  const int block = 6;
  const std::vector<float> before = forward.run(image, 1, true).levels.at(0).values;
  const std::vector<float> after =
      forward.run(masked(input_box(level, block, 1), fill), 1, true).levels.at(0).values;
  const size_t size = static_cast<size_t>(level.tokens) * level.width;
  for (size_t i = 0; i < before.size(); ++i)
    if (i / size != block) {
      EXPECT_EQ(before[i], after[i]) << i;
    }
  EXPECT_NE(before, after);
}

TEST_F(Occlusion, TreeHasTheDropsOfItsBoxes) {
  const Tree tree = occlusion_tree(engine, image, fill, target, true);
  ASSERT_EQ(tree.nodes.size(), 21u);
  ASSERT_EQ(tree.path.size(), 2u);
  for (const TreeNode& node : tree.nodes)
    if (node.parent >= 0) {
      EXPECT_EQ(node.score, value(image) - value(masked(node.input_box, fill)));
    }
  for (const PathStep& step : tree.path) {
    const int first = step.node - step.quadrant;
    for (int k = 0; k < 4; ++k) EXPECT_LE(tree.nodes[first + k].score, tree.nodes[step.node].score);
    EXPECT_TRUE(tree.nodes[step.node].chosen);
  }
  EXPECT_EQ(tree.nodes[tree.path[1].node].parent, tree.path[0].node);
}

TEST_F(Occlusion, DescendingMasksTheChildrenOfThePathAlone) {
  const Tree all = occlusion_tree(engine, image, fill, target, true);
  const Tree path = occlusion_tree(engine, image, fill, target, false);
  ASSERT_EQ(path.nodes.size(), 9u);
  ASSERT_EQ(path.path.size(), all.path.size());
  for (size_t i = 0; i < path.path.size(); ++i) {
    EXPECT_EQ(path.path[i].quadrant, all.path[i].quadrant);
    EXPECT_EQ(path.path[i].score, all.path[i].score);
    EXPECT_EQ(path.path[i].margin, all.path[i].margin);
    EXPECT_EQ(path.nodes[path.path[i].node].block, all.nodes[all.path[i].node].block);
  }
}

TEST_F(Occlusion, OfAnImageThatIsTheFillDecidesNothing) {
  const Tree tree = occlusion_tree(engine, fill, fill, target, false);
  for (const PathStep& step : tree.path) {
    EXPECT_FALSE(step.decided);
    EXPECT_EQ(step.score, 0);
    EXPECT_EQ(step.quadrant, 0);
  }
}

TEST_F(Occlusion, VerifyAgreesWithItsOwnPathAndNotWithAnother) {
  Tree tree = occlusion_tree(engine, image, fill, target, false);
  verify_path(tree, engine, image, fill, target);
  for (const PathStep& step : tree.path) {
    ASSERT_TRUE(step.occlusion);
    EXPECT_TRUE(step.occlusion->agrees);
    EXPECT_EQ(step.occlusion->best, step.quadrant);
    EXPECT_EQ(step.occlusion->drop, step.score);
  }
  PathStep& last = tree.path.back();
  const int best = last.quadrant, other = (best + 1) % 4;
  last.node += other - best;
  last.quadrant = other;
  verify_path(tree, engine, image, fill, target);
  EXPECT_FALSE(last.occlusion->agrees);
  EXPECT_EQ(last.occlusion->best, best);
  EXPECT_EQ(last.occlusion->drop, tree.nodes[last.node].score);
}

TEST(OcclusionOfOneLevel, IsOneNode) {
  const NestConfig config = small_nest(1, 4);
  const GradientEngine engine(model_of(config), 1);
  const std::vector<float> image = random_floats(3 * 16, 1), fill(image.size());
  Tree tree = occlusion_tree(engine, image, fill, std::vector<float>{1, 0, 0}, true);
  EXPECT_EQ(tree.nodes.size(), 1u);
  verify_path(tree, engine, image, fill, std::vector<float>{1, 0, 0});
  EXPECT_TRUE(tree.path.empty());
}

TEST(Substrate, MeanIsZeroAndBlackIsEachChannels) {
  const std::vector<float> image = random_floats(2 * 9, 4);
  EXPECT_EQ(substrate(image, 2, 3, Fill::kMean, {}), std::vector<float>(18));
  const std::vector<float> black =
      substrate(image, 2, 3, Fill::kBlack, std::vector<float>{-2, -1.5f});
  for (size_t i = 0; i < 18; ++i) EXPECT_EQ(black[i], i < 9 ? -2 : -1.5f);
}

// RISE's kernel, from its definition: scipy's Gaussian of sigma 5, cut at 20, of the unit pulse
// amid 11 numbers, which are mirrored at their ends ("d c b a | a b c d | d c b a").
std::array<double, 11> rise_kernel() {
  std::array<double, 41> gauss{};
  double sum = 0;
  for (int d = -20; d <= 20; ++d) sum += gauss[d + 20] = std::exp(-d * d / 50.0);
  const auto pulse = [](int at) {
    while (at < 0 || at > 10) at = at < 0 ? -1 - at : 21 - at;
    return at == 5 ? 1.0 : 0.0;
  };
  std::array<double, 11> kernel{};
  for (int i = 0; i < 11; ++i)
    for (int d = -20; d <= 20; ++d) kernel[i] += gauss[d + 20] / sum * pulse(i + d);
  return kernel;
}

TEST(Substrate, BlurIsRisesConvolutionOverZeros) {
  const auto kernel = rise_kernel();
  const int size = 13;
  const std::vector<float> image = random_floats(2 * size * size, 8);
  const std::vector<float> blurred = substrate(image, 2, size, Fill::kBlur, {});
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x) {
        double sum = 0;
        for (int i = 0; i < 11; ++i)
          for (int j = 0; j < 11; ++j) {
            const int v = y + i - 5, u = x + j - 5;
            if (v >= 0 && u >= 0 && v < size && u < size)
              sum += kernel[i] * kernel[j] * image[(c * size + v) * size + u];
          }
        EXPECT_NEAR(blurred[(c * size + y) * size + x], sum, 1e-6);
      }
}

}  // namespace
}  // namespace nestvit
