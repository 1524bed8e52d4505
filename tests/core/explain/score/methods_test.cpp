// The rows of a table, and their maps of a tiny model.
#include "explain/score/methods.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "explain/explainer.h"
#include "explain/score/tree_faithfulness.h"
#include "image/transform.h"
#include "support/random_image.h"
#include "support/tiny_model.h"

namespace nestvit {
namespace {

constexpr int kPixels = 3 * 8 * 8;

struct Tiny {
  explicit Tiny(int threads = 1)
      : engine(model, threads),
        head(model.tensors.at("head.weight").to_f32()),
        context{engine, head, score_methods(2), 5} {}
  LoadedModel model = testing::tiny_model();
  GradientEngine engine;
  std::vector<float> head;
  MapContext context;
};

std::vector<float> some_image() {
  std::vector<float> image(kPixels);
  Rng rng(4, Purpose::kTest);
  for (float& value : image) value = rng.normal();
  return image;
}

TEST(ScoreMethods, HaveNamesOfTheirOwnAndTheControls) {
  for (const int levels : {1, 2, 4})
    for (const bool variants : {false, true}) {
      std::set<std::string> names;
      const std::vector<ScoredMethod> methods = score_methods(levels, variants);
      for (const ScoredMethod& method : methods) names.insert(method.name);
      EXPECT_EQ(names.size(), methods.size());
      EXPECT_TRUE(names.contains(kRandomRow) && names.contains(kCentreRow));
      EXPECT_EQ(std::count_if(methods.begin(), methods.end(),
                              [](const ScoredMethod& m) { return m.kind == RowKind::kTree; }),
                levels == 1 ? 0
                : variants  ? 8
                            : 3);
    }
}

TEST(ScoreMethods, CostWhatTheyRun) {
  const std::vector<Level> levels = geometry(testing::tiny_model().config);
  // Two backwards, and four masks with the image itself.
  EXPECT_DOUBLE_EQ(method_forwards(score_methods(2), levels, 1, true), 2 * 2.7 + 5);
  EXPECT_DOUBLE_EQ(method_forwards(score_methods(2), levels, 3, false), 2 * (2.7 + 2.2) + 3 * 5);
  EXPECT_DOUBLE_EQ(
      method_forwards(std::vector<ScoredMethod>{{"random", RowKind::kRandom}}, levels, 1, false),
      0);
}

TEST(MethodMaps, EachMethodHasAMapAndAPath) {
  const Tiny tiny;
  const std::vector<float> image = some_image(), fill(kPixels);
  const auto maps = method_maps(tiny.context, {image, fill, 3, true}, std::vector<int>{1, 2});
  ASSERT_EQ(maps.size(), 2u);
  for (const ClassMaps& of_class : maps) {
    ASSERT_EQ(of_class.methods.size(), tiny.context.methods.size());
    ASSERT_TRUE(of_class.drops);
    EXPECT_EQ(of_class.drops->nodes.size(), 5u);
    for (size_t m = 0; m < of_class.methods.size(); ++m) {
      SCOPED_TRACE(tiny.context.methods[m].name);
      const MethodMap& method = of_class.methods[m];
      EXPECT_EQ(method.map.values.size(),
                static_cast<size_t>(method.map.rows) * method.map.columns);
      EXPECT_EQ(method.map.rows * method.map.cell, 8);
      ASSERT_EQ(method.path.size(), 1u);
      const bool control = tiny.context.methods[m].kind >= RowKind::kRandom;
      EXPECT_EQ(method.map.values == maps[0].methods[m].map.values,
                control || &of_class == &maps[0]);
    }
  }
}

TEST(MethodMaps, ThreadsChangeNoBit) {
  const Tiny one(1), two(2);
  const std::vector<float> image = some_image(), fill(kPixels);
  const std::vector<int> classes = {0};
  const auto a = method_maps(one.context, {image, fill, 3, true}, classes);
  const auto b = method_maps(two.context, {image, fill, 3, true}, classes);
  for (size_t m = 0; m < a[0].methods.size(); ++m) {
    EXPECT_EQ(a[0].methods[m].map.values, b[0].methods[m].map.values);
    EXPECT_EQ(a[0].methods[m].path, b[0].methods[m].path);
  }
}

// The rows are what `explain` shows.
TEST(MethodMaps, AreTheExplainers) {
  const Tiny tiny;
  const Explainer explainer(tiny.model, 1);
  Sample sample;
  sample.image = testing::random_image(8, 8, 3, 1);
  sample.name = "noise";
  const Pixels pixels = evaluation_pixels(sample, tiny.model.preprocessing);
  std::vector<float> image(kPixels);
  normalise(pixels, tiny.model.preprocessing, image);
  const std::vector<float> fill(kPixels);
  const auto maps = method_maps(tiny.context, {image, fill, 0, false}, std::vector<int>{1});
  const std::vector<std::pair<std::string, ExplainMethod>> shown = {
      {"relevance", ExplainMethod::kRelevance},
      {"cam", ExplainMethod::kCam},
      {"layercam", ExplainMethod::kLayerCam},
      {"gradcam", ExplainMethod::kGradCam},
      {"gradcat", ExplainMethod::kGradCat}};
  for (const auto& [name, method] : shown) {
    SCOPED_TRACE(name);
    ExplainRequest request;
    request.classes = {1};
    request.method = method;
    const std::vector<ExplanationRecord> all = explainer.explain(sample, request);
    const auto row =
        std::find_if(tiny.context.methods.begin(), tiny.context.methods.end(),
                     [wanted = name](const ScoredMethod& m) { return m.name == wanted; });
    const MethodMap& ours = maps[0].methods[row - tiny.context.methods.begin()];
    EXPECT_EQ(ours.map.values, all.at(0).maps.back().values);  // of a tree: level 1's
    if (all[0].tree) {
      EXPECT_EQ(ours.path, quadrants(*all[0].tree));
    }
  }
}

}  // namespace
}  // namespace nestvit
