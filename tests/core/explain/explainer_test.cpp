// From samples to explanations, on small networks of random weights.
#include "explain/explainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>

#include "core/explain/small_nest.h"
#include "core/runtime/reference_forward.h"
#include "image/codecs/codec.h"
#include "support/encoders.h"
#include "support/errors.h"
#include "support/random_image.h"

namespace nestvit {
namespace {

using testing::expect_error;
using testing::random_image;
using testing::small_nest;

enum class Biases { kRandom, kNone };

// kNone: no biases and no position embeddings, so that nothing but the image
// makes the logits.
LoadedModel model_of(const NestConfig& config, Biases biases = Biases::kRandom) {
  LoadedModel model = testing::random_model(config, 5);
  model.origin = "a test";
  model.preprocessing = preprocessing_mode("jax", config.image_size, config.in_channels);
  for (int k = 0; k < config.num_classes; ++k) model.labels.push_back("class " + std::to_string(k));
  if (biases == Biases::kRandom) return model;
  for (auto& [name, tensor] : model.tensors)
    if (name.ends_with(".bias") || name.ends_with("pos_embed"))
      tensor = Tensor::f32(tensor.shape(), std::vector<float>(tensor.size()));
  return model;
}

Sample sample_of(Image image, const std::string& name = "photo.png") {
  Sample sample;
  sample.image = std::move(image);
  sample.name = name;
  return sample;
}

ExplainRequest of_method(ExplainMethod method) {
  ExplainRequest request;
  request.method = method;
  return request;
}

const std::vector<ExplainMethod> kMethods = {ExplainMethod::kGradCat, ExplainMethod::kRelevance,
                                             ExplainMethod::kCam,     ExplainMethod::kLayerCam,
                                             ExplainMethod::kGradCam, ExplainMethod::kOcclusion};

const Sample kPhoto = sample_of(random_image(20, 31));

TEST(Explainer, DescribesImageModelAndAnswers) {
  const Explainer explainer(model_of(small_nest(3, 2, 2)), 1);
  const std::vector<ExplanationRecord> all = explainer.explain(kPhoto);
  ASSERT_EQ(all.size(), 1u);
  const ExplanationRecord& why = all[0];
  EXPECT_EQ(why.file, "photo.png");
  EXPECT_EQ(why.height, 20);
  EXPECT_EQ(why.width, 31);
  EXPECT_FALSE(why.turned);
  EXPECT_EQ(why.image_size, 16);
  EXPECT_EQ(why.levels, 3);
  EXPECT_EQ(why.origin, "a test");
  ASSERT_EQ(why.predictions.size(), 3u);
  EXPECT_GE(why.predictions[0].logit, why.predictions[1].logit);
  double sum = 0;
  for (const ExplainedClass& answer : why.predictions) sum += answer.probability;
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_EQ(why.target.index, why.predictions[0].index);
  EXPECT_EQ(why.target.label, why.predictions[0].label);
  EXPECT_EQ(why.target.value, why.predictions[0].logit);
  EXPECT_EQ(why.method, "gradcat");
  EXPECT_EQ(why.site, "input");
  EXPECT_EQ(why.propagation, "conservative");
  EXPECT_EQ(why.sign, "ascent");
  ASSERT_EQ(why.maps.size(), 2u);
  EXPECT_EQ(why.maps[0].level, 2);
  EXPECT_EQ(why.maps[1].level, 1);
  ASSERT_TRUE(why.tree);
  EXPECT_EQ(why.tree->nodes.size(), 21u);
  EXPECT_EQ(why.tree->path.size(), 2u);
}

// The official evaluation shrinks 20 x 31 to 18 x 28 and takes 16 x 16 from the middle.
TEST(Explainer, MapsBoxesToTheOriginal) {
  const Explainer explainer(model_of(small_nest(3, 2, 2)), 1);
  const ExplanationRecord why = explainer.explain(kPhoto).front();
  ASSERT_TRUE(why.seen);
  const double y = 20.0 / 18, x = 31.0 / 28;
  const PixelBox seen = {6 * x, 1 * y, 22 * x, 17 * y};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR((*why.seen)[i], seen[i], 1e-12);
  for (const TreeNode& node : why.tree->nodes) {
    ASSERT_TRUE(node.box);
    EXPECT_NEAR((*node.box)[0], (node.input_box[0] + 6) * x, 1e-12);
    EXPECT_NEAR((*node.box)[3], (node.input_box[3] + 1) * y, 1e-12);
  }
}

TEST(Explainer, ClipsBoxesAndLeavesOutThoseOfPaddingAlone) {
  LoadedModel model = model_of(small_nest(3, 2, 2));
  model.preprocessing = preprocessing_mode("timm", 16);
  model.preprocessing.crop_mode = CropMode::kBorder;
  model.preprocessing.crop_pct = 1;
  const Explainer explainer(model, 1);
  // 64 x 16 becomes 16 x 4: columns 6 to 10 of the input.
  const ExplanationRecord why = explainer.explain(sample_of(random_image(64, 16))).front();
  EXPECT_EQ(why.seen, (PixelBox{0, 0, 16, 64}));
  for (const TreeNode& node : why.tree->nodes) {
    const double left = std::max(node.input_box[0], 6.0), right = std::min(node.input_box[2], 10.0);
    ASSERT_EQ(node.box.has_value(), left < right);
    if (node.box) {
      EXPECT_EQ(*node.box, (PixelBox{(left - 6) * 4, node.input_box[1] * 4, (right - 6) * 4,
                                     node.input_box[3] * 4}));
    }
  }
}

TEST(Explainer, TurnsAsTheCameraSaysWhereTheModelDoes) {
  LoadedModel model = model_of(small_nest(2, 2, 4));
  Sample sample;
  sample.name = "turned.png";
  sample.encoded = testing::with_exif(encode_png(random_image(20, 31)), 6, true);
  EXPECT_FALSE(Explainer(model, 1).explain(sample).front().turned);
  model.preprocessing.exif_orientation = true;
  const ExplanationRecord why = Explainer(model, 1).explain(sample).front();
  EXPECT_TRUE(why.turned);
  EXPECT_EQ(why.height, 31);
  EXPECT_EQ(why.width, 20);
}

TEST(Explainer, TakesTheBestClassesOrThoseAskedFor) {
  NestConfig config = small_nest(2, 2);
  config.num_classes = 9;
  const Explainer explainer(model_of(config), 1);
  const auto best = explainer.explain(kPhoto, {.topk = 2});
  ASSERT_EQ(best.size(), 2u);
  ASSERT_EQ(best[0].predictions.size(), 5u);
  EXPECT_EQ(best[0].target.index, best[0].predictions[0].index);
  EXPECT_EQ(best[1].target.index, best[0].predictions[1].index);
  EXPECT_EQ(explainer.explain(kPhoto, {.topk = 99}).size(), 9u);

  int worst = 0;
  for (const ExplanationRecord& one : explainer.explain(kPhoto, {.topk = 9}))
    worst = one.target.index;
  ExplainRequest request;
  request.classes = {worst, best[0].target.index};
  const auto chosen = explainer.explain(kPhoto, request);
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[0].target.index, worst);
  EXPECT_EQ(chosen[1].target.index, best[0].target.index);
  // Beside the best, its own answer is named.
  ASSERT_EQ(chosen[0].predictions.size(), 6u);
  EXPECT_EQ(chosen[0].predictions[5].index, worst);
  EXPECT_EQ(chosen[0].target.value, chosen[0].predictions[5].logit);
  EXPECT_EQ(chosen[1].predictions.size(), 5u);
}

TEST(Explainer, AgainstAClassLeavesItOutAndSubtracts) {
  const Explainer explainer(model_of(small_nest(3, 2)), 1);
  const auto all = explainer.explain(kPhoto, {.topk = 3});
  const int best = all[0].target.index, second = all[1].target.index;
  ExplainRequest request;
  request.against = best;
  const ExplanationRecord other = explainer.explain(kPhoto, request).front();
  EXPECT_EQ(other.target.index, second);
  EXPECT_EQ(other.target.against, best);
  EXPECT_EQ(other.target.against_label, all[0].target.label);
  EXPECT_NEAR(other.target.value, all[1].target.value - all[0].target.value, 1e-6);
  double largest = 0;
  for (const ExplanationRecord& one : all)
    for (const CellMap& map : one.maps)
      for (const float v : map.values) largest = std::max<double>(largest, std::abs(v));
  ASSERT_GT(largest, 0);
  for (size_t i = 0; i < other.tree->nodes.size(); ++i)
    EXPECT_NEAR(other.tree->nodes[i].score,
                all[1].tree->nodes[i].score - all[0].tree->nodes[i].score, 2e-5 * 4 * largest);
}

TEST(Explainer, LogProbabilityWeighsAllClasses) {
  const Explainer explainer(model_of(small_nest(2, 2)), 1);
  ExplainRequest request;
  request.target = TargetKind::kLogProbability;
  const ExplanationRecord why = explainer.explain(kPhoto, request).front();
  double mean = 0;
  for (const ExplainedClass& answer : why.predictions) mean += answer.probability * answer.logit;
  EXPECT_EQ(why.target.kind, TargetKind::kLogProbability);
  EXPECT_NEAR(why.target.value, why.predictions[0].logit - mean, 1e-5);
}

TEST(Explainer, EveryMethodAnswers) {
  const Explainer explainer(model_of(small_nest(3, 2, 2)), 1);
  ASSERT_EQ(explain_method_names().size(), kMethods.size());
  for (const ExplainMethod method : kMethods) {
    const ExplanationRecord why = explainer.explain(kPhoto, of_method(method)).front();
    SCOPED_TRACE(why.method);
    EXPECT_EQ(why.method, explain_method_names()[static_cast<size_t>(method)]);
    const bool tree = method == ExplainMethod::kGradCat || method == ExplainMethod::kOcclusion;
    EXPECT_EQ(why.tree.has_value(), tree);
    if (!tree) {
      ASSERT_EQ(why.maps.size(), 1u);
      EXPECT_EQ(why.maps[0].rows * why.maps[0].cell, 16);
      EXPECT_EQ(why.maps[0].values.size(),
                static_cast<size_t>(why.maps[0].rows) * why.maps[0].rows);
      EXPECT_TRUE(why.maps[0].decided);
    }
    EXPECT_EQ(why.additive, method == ExplainMethod::kGradCat ||
                                method == ExplainMethod::kRelevance ||
                                method == ExplainMethod::kCam);
    if (why.additive) {
      EXPECT_EQ(why.explained, why.maps[0].sum);
      EXPECT_DOUBLE_EQ(why.explained + why.constants, why.target.value);
    }
  }
}

TEST(Explainer, CamExplainsAllButTheHeadsBias) {
  const LoadedModel model = model_of(small_nest(3, 2));
  const ExplanationRecord why =
      Explainer(model, 1).explain(kPhoto, of_method(ExplainMethod::kCam)).front();
  const float bias =
      model.tensors.at("head.bias").to_f32().at(static_cast<size_t>(why.target.index));
  EXPECT_NE(bias, 0);
  EXPECT_NEAR(why.constants, bias, 1e-5 * (why.maps[0].positive - why.maps[0].negative));
}

// Without biases and position embeddings nothing but the image makes the logits, so every level,
// every plane and the pixels hold all of the target.
TEST(Explainer, ConservativeScoresAddUpToTheTarget) {
  const Explainer explainer(model_of(small_nest(3, 3, 2), Biases::kNone), 1);
  const auto expect_all = [](const ExplanationRecord& why) {
    ASSERT_FALSE(why.maps.empty());
    for (const CellMap& map : why.maps) {
      ASSERT_GT(map.positive - map.negative, 0);
      EXPECT_NEAR(map.sum, why.target.value, 2e-5 * (map.positive - map.negative));
    }
  };
  expect_all(explainer.explain(kPhoto).front());
  for (const int level : {1, 2, kPixelLevel}) {
    ExplainRequest request = of_method(ExplainMethod::kRelevance);
    request.level = level;
    const ExplanationRecord why = explainer.explain(kPhoto, request).front();
    EXPECT_EQ(why.maps.at(0).level, level);
    expect_all(why);
  }
}

TEST(Explainer, SignOfThePaperTurnsTheScores) {
  const Explainer explainer(model_of(small_nest(3, 2)), 1);
  ExplainRequest request;
  const ExplanationRecord ascent = explainer.explain(kPhoto, request).front();
  request.sign = Sign::kPaper;
  const ExplanationRecord paper = explainer.explain(kPhoto, request).front();
  EXPECT_EQ(paper.sign, "paper");
  for (size_t i = 0; i < paper.tree->nodes.size(); ++i)
    EXPECT_EQ(paper.tree->nodes[i].score, -ascent.tree->nodes[i].score);
  EXPECT_EQ(paper.explained, ascent.explained);
}

// Layer norm does not change when a token is scaled: at the top's output scores are rounding.
TEST(Explainer, OutputsOfTheTopDecideNothing) {
  ExplainRequest request;
  request.site = Site::kOutput;
  for (const Propagation propagation : {Propagation::kGradient, Propagation::kConservative}) {
    request.propagation = propagation;
    const Explainer explainer(model_of(small_nest(3, 4, 1, 32)), 1);
    const ExplanationRecord why = explainer.explain(kPhoto, request).front();
    EXPECT_EQ(why.site, "output");
    if (propagation == Propagation::kGradient) {
      EXPECT_FALSE(why.tree->path[0].decided);
      EXPECT_FALSE(why.maps[0].decided);
    }
    EXPECT_TRUE(why.tree->path[1].decided);
  }
}

TEST(Explainer, VerifiesThePathByMasking) {
  const Explainer explainer(model_of(small_nest(3, 2, 2)), 1);
  ExplainRequest request;
  EXPECT_FALSE(explainer.explain(kPhoto, request).front().tree->path[0].occlusion);
  request.verify = true;
  request.fill = Fill::kBlack;
  const ExplanationRecord why = explainer.explain(kPhoto, request).front();
  request = of_method(ExplainMethod::kOcclusion);
  request.fill = Fill::kBlack;
  request.occlude_all = true;
  const ExplanationRecord masked = explainer.explain(kPhoto, request).front();
  for (const PathStep& step : why.tree->path) {
    ASSERT_TRUE(step.occlusion);
    const TreeNode& node = why.tree->nodes[step.node];
    for (const TreeNode& twin : masked.tree->nodes)
      if (twin.level == node.level && twin.block == node.block) {
        EXPECT_EQ(step.occlusion->drop, twin.score);
      }
  }
  ASSERT_EQ(masked.maps.size(), 1u);
  EXPECT_EQ(masked.maps[0].rows, 4);
  EXPECT_EQ(masked.maps[0].cell, 4);
  for (const TreeNode& node : masked.tree->nodes)
    if (node.level == 0) {
      EXPECT_EQ(masked.maps[0].values[node.block], static_cast<float>(node.score));
    }
}

void expect_same(const ExplanationRecord& one, const ExplanationRecord& other) {
  EXPECT_EQ(one.file, other.file);
  EXPECT_EQ(one.target.value, other.target.value);
  ASSERT_EQ(one.maps.size(), other.maps.size());
  for (size_t i = 0; i < one.maps.size(); ++i) EXPECT_EQ(one.maps[i].values, other.maps[i].values);
  if (!one.tree) return;
  for (size_t i = 0; i < one.tree->nodes.size(); ++i)
    EXPECT_EQ(one.tree->nodes[i].score, other.tree->nodes[i].score);
}

TEST(Explainer, BatchesAndThreadsChangeNoBit) {
  const LoadedModel model = model_of(small_nest(3, 2, 2));
  const Explainer one(model, 1), two(model, 2);
  std::vector<Sample> samples;
  for (uint64_t i = 0; i < 3; ++i)
    samples.push_back(sample_of(random_image(18, 22, 3, i), "photo " + std::to_string(i)));
  for (const ExplainMethod method : kMethods) {
    const auto together = two.explain(samples, of_method(method));
    ASSERT_EQ(together.size(), 3u);
    for (size_t i = 0; i < 3; ++i)
      expect_same(together[i].at(0), one.explain(samples[i], of_method(method)).front());
  }
  EXPECT_TRUE(one.explain(std::span<const Sample>()).empty());
}

TEST(Explainer, AConstantModelDecidesNothing) {
  LoadedModel model = model_of(small_nest(3, 2));
  for (auto& [name, tensor] : model.tensors)
    tensor = Tensor::f32(tensor.shape(), std::vector<float>(tensor.size()));
  const Explainer explainer(model, 1);
  for (const ExplainMethod method : kMethods) {
    const ExplanationRecord why = explainer.explain(kPhoto, of_method(method)).front();
    SCOPED_TRACE(why.method);
    for (const CellMap& map : why.maps) {
      EXPECT_FALSE(map.decided);
      EXPECT_EQ(map.sum, 0);
    }
    if (!why.tree) continue;
    for (const PathStep& step : why.tree->path) {
      EXPECT_FALSE(step.decided);
      EXPECT_EQ(step.quadrant, 0);
      EXPECT_EQ(step.margin, 0);
    }
  }
}

TEST(Explainer, SmallestNetworksWork) {
  NestConfig config = small_nest(1, 4);
  config.in_channels = 1;
  config.num_classes = 1;
  const Explainer explainer(model_of(config), 1);
  const Sample tiny = sample_of(random_image(1, 2, 1));
  const ExplanationRecord tree = explainer.explain(tiny).front();
  EXPECT_EQ(tree.tree->nodes.size(), 1u);
  EXPECT_TRUE(tree.tree->path.empty());
  EXPECT_FALSE(tree.additive);
  const ExplanationRecord pixels =
      explainer.explain(tiny, of_method(ExplainMethod::kRelevance)).front();
  EXPECT_EQ(pixels.maps.at(0).level, -1);
  EXPECT_EQ(pixels.maps.at(0).rows, 4);
  explainer.explain(tiny, of_method(ExplainMethod::kCam));
  explainer.explain(tiny, of_method(ExplainMethod::kOcclusion));
  ExplainRequest request;
  request.target = TargetKind::kLogProbability;  // of the only class: 0, whatever the image
  EXPECT_EQ(explainer.explain(tiny, request).front().target.value, 0);
}

TEST(Explainer, WrongRequestsAreUsageErrors) {
  const Explainer explainer(model_of(small_nest(3, 2)), 1);
  const auto expect = [&](auto change, const std::vector<std::string>& parts) {
    ExplainRequest request;
    change(request);
    expect_error<UsageError>([&] { explainer.explain(kPhoto, request); }, parts);
  };
  expect([](auto& r) { r.classes = {3}; }, {"class 3", "3", "the last"});
  expect([](auto& r) { r.classes = {-1}; }, {"class -1"});
  expect([](auto& r) { r.against = 3; }, {"class 3"});
  expect([](auto& r) { r.classes = {1}, r.against = 1; }, {"against itself"});
  expect([](auto& r) { r.against = 1, r.target = TargetKind::kLogProbability; }, {"logits"});
  expect([](auto& r) { r.topk = 0; }, {"0 classes"});
  expect([](auto& r) { r.level = 1; }, {"relevance, layercam and gradcam"});
  expect([](auto& r) { r.method = ExplainMethod::kRelevance, r.level = 3; }, {"level 3", "1 to 2"});
  expect([](auto& r) { r.method = ExplainMethod::kRelevance, r.level = 0; }, {"level 0"});
  expect([](auto& r) { r.method = ExplainMethod::kGradCam, r.level = kPixelLevel; },
         {"only relevance"});
  expect([](auto& r) { r.method = ExplainMethod::kCam, r.verify = true; }, {"gradcat"});
  const Explainer flat(model_of(small_nest(1, 4)), 1);
  expect_error<UsageError>([&] { flat.explain(kPhoto, of_method(ExplainMethod::kLayerCam)); },
                           {"one level"});
  NestConfig one_class = small_nest(2, 2);
  one_class.num_classes = 1;
  const Explainer lonely(model_of(one_class), 1);
  ExplainRequest rival;
  rival.against = 0;
  expect_error<UsageError>([&] { lonely.explain(kPhoto, rival); }, {"class 0", "only one"});
}

TEST(Explainer, WhatIsNotFiniteIsAnErrorThatNamesTheImage) {
  LoadedModel model = model_of(small_nest(2, 2));
  std::vector<float> bias = model.tensors.at("head.bias").to_f32();
  bias[1] = std::numeric_limits<float>::quiet_NaN();
  model.tensors["head.bias"] = Tensor::f32({3}, bias);
  const Explainer explainer(model, 1);
  for (const ExplainMethod method : kMethods)
    expect_error([&] { explainer.explain(kPhoto, of_method(method)); },
                 {"photo.png: logits are not finite", "NaN or infinity"});
}

TEST(Explainer, AnImageThatCannotBeReadIsNamed) {
  const Explainer explainer(model_of(small_nest(2, 2)), 1);
  Sample broken;
  broken.name = "broken.png";
  broken.encoded = encode_png(random_image(9, 9));
  broken.encoded.resize(broken.encoded.size() / 2);
  expect_error([&] { explainer.explain(broken); }, {"broken.png"});
}

TEST(Explainer, WarnsOfAGroupNormThatForgetsTheImage) {
  NestConfig config = small_nest(2, 2, 1, 32);
  config.norm_type = Norm::kGroup;
  EXPECT_THAT(Explainer(model_of(config), 1).warning(), ::testing::HasSubstr("group norm"));
  config.embedding_dim = 64;
  EXPECT_EQ(Explainer(model_of(config), 1).warning(), "");
  EXPECT_EQ(Explainer(model_of(small_nest(2, 2, 1, 32)), 1).warning(), "");
}

TEST(Explainer, NeedsAClassifier) {
  LoadedModel model = model_of(small_nest(2, 2));
  model.headless = true;
  EXPECT_THROW(Explainer(model, 1), Error);
}

}  // namespace
}  // namespace nestvit
