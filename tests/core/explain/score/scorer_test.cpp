// All scores of an image of tiny models, one of which has the same answer for every image.
#include "explain/score/scorer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "explain/score/sanity.h"
#include "support/tiny_model.h"

namespace nestvit {
namespace {

constexpr int kPixels = 3 * 8 * 8;
const std::vector<float> kBlack = {-2, -2, -2};

struct Scored {
  explicit Scored(LoadedModel of, std::vector<ScoredMethod> methods = score_methods(2))
      : model(std::move(of)),
        engine(model, 1),
        head(model.tensors.at("head.weight").to_f32()),
        context{engine, head, std::move(methods), 5} {}
  LoadedModel model;
  GradientEngine engine;
  std::vector<float> head;
  MapContext context;
};

std::vector<float> noise(int number) {
  std::vector<float> image(kPixels);
  Rng rng(static_cast<uint64_t>(number), Purpose::kTest);
  for (float& value : image) value = rng.normal();
  return image;
}

size_t column(const std::vector<Measure>& measures, const std::string& key) {
  for (size_t k = 0; k < measures.size(); ++k)
    if (measures[k].key == key) return k;
  ADD_FAILURE() << key;
  return 0;
}

TEST(Scorer, EveryMeasureHasAValueAndAKeyOfItsOwn) {
  const Scored tiny(testing::tiny_model());
  const std::vector<float> image = noise(1);
  for (const bool boxes : {false, true}) {
    const std::vector<Measure> measures = image_measures(boxes);
    std::set<std::string> keys;
    for (const Measure& measure : measures) keys.insert(measure.key);
    EXPECT_EQ(keys.size(), measures.size());
    const ImageScores scores = score_image(tiny.context, {image, kBlack, 1, 0, {}}, {4, 8}, boxes);
    ASSERT_EQ(scores.values.size(), tiny.context.methods.size());
    for (const std::vector<double>& row : scores.values) EXPECT_EQ(row.size(), measures.size());
  }
}

TEST(Scorer, AModelThatNeverChangesItsMindGivesChance) {
  const Scored constant(testing::constant_model({0, 2, 1}, {"ant", "bee", "cat"}));
  const std::vector<float> image = noise(1);
  const ImageScores scores =
      score_image(constant.context, {image, kBlack, 1, 0, {}}, {4, 8}, false);
  const std::vector<Measure> measures = image_measures(false);
  const double p = std::exp(2) / (1 + std::exp(2) + std::exp(1));
  for (const std::vector<double>& row : scores.values) {
    EXPECT_NEAR(row[column(measures, "deletion_mean_probability")], p, 1e-12);
    EXPECT_NEAR(row[column(measures, "insertion_blur_probability")], p, 1e-12);
    EXPECT_NEAR(row[column(measures, "deletion_blur_logit")], 2, 1e-12);
    EXPECT_NEAR(row[column(measures, "lerf_morf_mean_logit")], 0, 1e-12);
    EXPECT_EQ(row[column(measures, "leaf_rank")], 0.5);
    EXPECT_EQ(row[column(measures, "steps_agreeing")], 0.25);
    EXPECT_TRUE(std::isnan(row[column(measures, "mu_fidelity")]));
  }
}

TEST(Scorer, OcclusionsPathIsTheBestByItsOwnMeasure) {
  const Scored tiny(testing::tiny_model());
  const std::vector<Measure> measures = image_measures(false);
  for (int i = 0; i < 3; ++i) {
    const std::vector<float> image = noise(i);
    const ImageScores scores = score_image(tiny.context, {image, kBlack, 0, 0, {}}, {2, 8}, false);
    for (size_t m = 0; m < scores.values.size(); ++m)
      if (tiny.context.methods[m].kind == RowKind::kOcclusion) {
        EXPECT_EQ(scores.values[m][column(measures, "leaf_rank")], 1);
        EXPECT_EQ(scores.values[m][column(measures, "steps_agreeing")], 1);
      }
  }
}

TEST(Scorer, BatchesChangeNothing) {
  const Scored tiny(testing::tiny_model());
  const std::vector<float> image = noise(2);
  const auto scored = [&](int batch) {
    return score_image(tiny.context, {image, kBlack, 1, 7, {}}, {9, batch}, false).values;
  };
  const auto one = scored(1), seven = scored(7);
  for (size_t m = 0; m < one.size(); ++m)
    for (size_t k = 0; k < one[m].size(); ++k)
      EXPECT_TRUE(one[m][k] == seven[m][k] || (std::isnan(one[m][k]) && std::isnan(seven[m][k])))
          << tiny.context.methods[m].name << " " << image_measures(false)[k].key;
}

TEST(Scorer, WithoutABoxThePointingGamesAreUndefined) {
  const Scored tiny(testing::tiny_model(), {{"centre", RowKind::kCentre}});
  const std::vector<Measure> measures = image_measures(true);
  const std::vector<float> image = noise(3);
  ScoreInput input{image, kBlack, 1, 0, {}};
  const size_t energy = column(measures, "energy"), area = column(measures, "box_area");
  EXPECT_TRUE(std::isnan(score_image(tiny.context, input, {2, 8}, true).values[0][energy]));
  const std::vector<ObjectBox> boxes = {{0, 0, 3, 7}};  // the left half of 8 x 8
  input.objects = ObjectBoxes{boxes, View{}};
  const std::vector<double> row = score_image(tiny.context, input, {2, 8}, true).values[0];
  EXPECT_DOUBLE_EQ(row[area], 0.5);
  EXPECT_NEAR(row[energy], 0.5, 1e-6);  // a centred Gaussian has two equal halves
}

TEST(Scorer, CurvesAreMeansOverImages) {
  const Scored tiny(testing::tiny_model());
  const std::vector<float> a = noise(4), b = noise(5);
  const auto scored = [&](const std::vector<float>& image) {
    return score_image(tiny.context, {image, kBlack, 1, 0, {}}, {4, 8}, false);
  };
  const ImageScores first = scored(a), second = scored(b);
  MeanCurves curves(tiny.context.methods);
  curves.add(first);
  curves.add(second);
  const std::vector<ScoreCurves> means = curves.means();
  ASSERT_EQ(means.size(), 4u);
  EXPECT_EQ(means[3].key, "insertion_blur");
  for (size_t s = 0; s < 5; ++s)
    EXPECT_DOUBLE_EQ(
        means[3].methods[1].logit[s],
        (first.games[1][1].insertion.logit[s] + second.games[1][1].insertion.logit[s]) / 2);
}

// The mosaic of a constant: every map is as large everywhere as the model's weights make it, but
// the controls have chance.
TEST(Scorer, ControlsHaveChanceInMosaics) {
  const Scored tiny(testing::tiny_model({"ant", "bee", "cat", "dog"}));
  const std::vector<float> image = noise(6);
  const auto scores =
      score_mosaic(tiny.context, {image, kBlack, 0, 1, {}}, 2, std::vector<int>{0, 1, 2, 3});
  for (size_t m = 0; m < scores.size(); ++m) {
    ASSERT_EQ(scores[m].size(), mosaic_measures(2).size());
    if (tiny.context.methods[m].kind < RowKind::kRandom) continue;
    EXPECT_NEAR(scores[m][0], 0.25, 1e-6);
    EXPECT_EQ(scores[m][1], 0.25);  // one map for four classes points into one cell
    EXPECT_EQ(scores[m][2], 0.25);
  }
}

TEST(Scorer, ForwardsAreCountedBeforehand) {
  const NestConfig config = testing::tiny_model().config;
  const std::vector<ScoredMethod> methods = score_methods(2);
  const double maps = method_forwards(methods, geometry(config), 1, true);
  EXPECT_DOUBLE_EQ(score_forwards(methods, config, {28, 8}),
                   maps + 201 + static_cast<double>(methods.size()) * 2 * 2 * 28);
  EXPECT_DOUBLE_EQ(score_forwards(methods, config, {1000, 8}),  // 8 x 8 cells
                   maps + 201 + static_cast<double>(methods.size()) * 2 * 2 * 64);
}

}  // namespace
}  // namespace nestvit
