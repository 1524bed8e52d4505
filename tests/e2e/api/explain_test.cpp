// Explanations by the public library, against its answers and the internal library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/nestvit.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <thread>

#include "core/explain/small_nest.h"
#include "core/runtime/forked.h"
#include "core/runtime/reference_forward.h"
#include "explain/explainer.h"
#include "image/codecs/codec.h"
#include "support/errors.h"
#include "support/random_image.h"
#include "support/temp_dir.h"

namespace {

using nestvit::Explain;
using nestvit::ExplainOptions;
using nestvit::Explanation;
using nestvit::Model;
using nestvit::testing::error_of;

constexpr int kHeight = 12, kWidth = 20;

const std::vector<Explain> kMethods = {Explain::kGradCat, Explain::kRelevance,
                                       Explain::kCam,     Explain::kLayerCam,
                                       Explain::kGradCam, Explain::kOcclusion};

ExplainOptions by(Explain method) { return {.method = method}; }

// A model of three levels with random weights, and an image that is not square.
class ApiExplain : public ::testing::Test {
 protected:
  ApiExplain() {
    small = nestvit::testing::random_model(nestvit::testing::small_nest(3, 2), 5);
    small.labels = {"ant", "bee", "cat"};
    small.preprocessing = nestvit::preprocessing_mode("timm", small.config.image_size);
    save_model(folder / "model", small);
    const nestvit::Image image = nestvit::testing::random_image(kHeight, kWidth);
    write_png(folder / "image.png", image);
    pixels = image.pixels;
    model.emplace(load());
  }

  Model load(nestvit::NumberType dtype = nestvit::NumberType::kF32) const {
    return Model::load(folder / "model", {.threads = 2, .dtype = dtype, .explain = true});
  }
  nestvit::ImageView view() const { return {pixels.data(), kHeight, kWidth, 3}; }
  std::vector<float> logits() const { return model->run(model->prepare(view())); }

  const nestvit::testing::TempDir folder;
  nestvit::LoadedModel small;
  std::vector<uint8_t> pixels;  // of image.png
  std::optional<Model> model;
};

double sum(const std::vector<float>& values) {
  double total = 0;
  for (const float value : values) total += value;
  return total;
}

// Everything that an explanation holds, as text: floats as their bits have it.
std::string text(const Explanation& why) {
  std::ostringstream out;
  out << std::hexfloat << why.prediction.index << why.prediction.label << " "
      << why.prediction.probability << " " << why.logit << " " << why.constants << why.decided
      << why.width << "x" << why.height << "\n";
  const auto box = [&](const nestvit::ImageBox& sides) {
    for (const double side : sides) out << " " << side;
  };
  for (const nestvit::Region& region : why.tree) {
    out << region.level << " " << region.block << " " << region.parent << " " << region.quadrant
        << " " << region.score << " " << region.share << region.chosen;
    box(region.box);
  }
  for (const int place : why.path) out << " " << place;
  for (const nestvit::HeatMap& map : why.maps) {
    out << "\n" << map.level << " " << map.rows << "x" << map.columns;
    box(map.box);
    for (const float value : map.values) out << " " << value;
  }
  return out.str();
}

TEST_F(ApiExplain, ExplainsTheAnswer) {
  const nestvit::Prediction best = model->classify(view(), 1).front();
  for (const Explain method : kMethods) {
    const Explanation why = model->explain(view(), -1, -1, by(method));
    EXPECT_EQ(why.prediction.index, best.index);
    EXPECT_EQ(why.prediction.label, best.label);
    EXPECT_EQ(why.prediction.probability, best.probability);
    EXPECT_EQ(why.logit, logits()[static_cast<size_t>(best.index)]);
    EXPECT_EQ(why.height, kHeight);
    EXPECT_EQ(why.width, kWidth);
    EXPECT_TRUE(why.decided);
  }
}

TEST_F(ApiExplain, ExplainsTheClassAskedFor) {
  for (const auto& [index, label, probability] : model->classify(view())) {
    const Explanation why = model->explain(view(), index);
    EXPECT_EQ(why.prediction.label, label);
    EXPECT_EQ(why.prediction.probability, probability);
  }
}

TEST_F(ApiExplain, SplitsTheLogit) {
  for (const Explain method : {Explain::kGradCat, Explain::kRelevance, Explain::kCam}) {
    const Explanation why = model->explain(view(), 1, -1, by(method));
    EXPECT_NEAR(sum(why.maps.front().values) + why.constants, why.logit, 1e-5);
    EXPECT_NE(why.constants, 0);
  }
  for (const Explain method : {Explain::kLayerCam, Explain::kGradCam, Explain::kOcclusion})
    EXPECT_EQ(model->explain(view(), 1, -1, by(method)).constants, 0);
  const Explanation cam = model->explain(view(), 1, -1, by(Explain::kCam));
  EXPECT_NEAR(cam.constants, small.tensors.at("head.bias").as<float>()[1], 1e-5);
}

TEST_F(ApiExplain, ComparesTwoClasses) {
  const std::vector<float> all = logits();
  const auto values = [&](int index, int against) {
    return model->explain(view(), index, against).maps.front().values;
  };
  EXPECT_FLOAT_EQ(model->explain(view(), 0, 2).logit, all[0] - all[2]);
  const auto first = values(0, -1), second = values(2, -1), both = values(0, 2);
  ASSERT_EQ(both.size(), first.size());
  for (size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], first[i] - second[i], 1e-5);
}

// 1 root, 4 blocks and 16; the path takes the best of four at each step.
TEST_F(ApiExplain, TreesAreWhole) {
  const Explanation why = model->explain(view());
  ASSERT_EQ(why.tree.size(), 21u);
  ASSERT_EQ(why.path.size(), 3u);
  EXPECT_EQ(why.path.front(), 0);
  EXPECT_EQ(why.tree.front().parent, -1);
  for (size_t step = 0; step < 3; ++step) {
    const auto place = static_cast<size_t>(why.path[step]);
    EXPECT_EQ(why.tree[place].level, static_cast<int>(2 - step));
    EXPECT_TRUE(why.tree[place].chosen);
    std::vector<nestvit::Region> children;
    for (const nestvit::Region& region : why.tree)
      if (region.parent == why.path[step]) children.push_back(region);
    if (step == 2) break;
    ASSERT_EQ(children.size(), 4u);
    double shares = 0;
    for (int k = 0; k < 4; ++k) {
      const nestvit::Region& child = children[static_cast<size_t>(k)];
      EXPECT_EQ(child.quadrant, k);
      EXPECT_LE(child.score, why.tree[static_cast<size_t>(why.path[step + 1])].score);
      shares += std::abs(child.share);
    }
    EXPECT_NEAR(shares, 1, 1e-6);
  }
  EXPECT_EQ(
      std::count_if(why.tree.begin(), why.tree.end(), [](auto& region) { return region.chosen; }),
      3);
}

TEST_F(ApiExplain, SaysWhatTheInternalLibraryFinds) {
  nestvit::Sample sample;
  sample.image = nestvit::testing::random_image(kHeight, kWidth);
  const nestvit::Explainer explainer(small, 1);
  for (size_t m = 0; m < kMethods.size(); ++m) {
    nestvit::ExplainRequest request;
    request.classes = {2};
    request.method = static_cast<nestvit::ExplainMethod>(m);
    ASSERT_EQ(static_cast<size_t>(kMethods[m]), m);
    const nestvit::ExplanationRecord want = explainer.explain(sample, request).front();
    const Explanation why = model->explain(view(), 2, -1, by(kMethods[m]));
    ASSERT_EQ(why.maps.size(), want.maps.size());
    for (size_t i = 0; i < want.maps.size(); ++i) {
      EXPECT_EQ(why.maps[i].level, want.maps[i].level);
      EXPECT_EQ(why.maps[i].rows, want.maps[i].rows);
      EXPECT_EQ(why.maps[i].columns, want.maps[i].columns);
      EXPECT_EQ(why.maps[i].values, want.maps[i].values);
      EXPECT_EQ(why.maps[i].box, want.extent);
    }
    ASSERT_EQ(why.tree.size(), want.tree ? want.tree->nodes.size() : 0);
    for (size_t i = 0; i < why.tree.size(); ++i) {
      const nestvit::TreeNode& node = want.tree->nodes[i];
      EXPECT_EQ(why.tree[i].block, node.block);
      EXPECT_EQ(why.tree[i].score, static_cast<float>(node.score));
      EXPECT_EQ(why.tree[i].box, node.box.value_or(nestvit::PixelBox{}));
    }
    for (size_t i = 1; i < why.path.size(); ++i)
      EXPECT_EQ(why.path[i], want.tree->path[i - 1].node);
  }
}

TEST_F(ApiExplain, TakesTheLevelAskedFor) {
  const auto map = [&](Explain method, std::optional<int> level) {
    const Explanation why = model->explain(view(), -1, -1, {.method = method, .level = level});
    return std::pair(why.maps.front().level, why.maps.front().rows);
  };
  EXPECT_EQ(map(Explain::kRelevance, {}), std::pair(1, 8));
  EXPECT_EQ(map(Explain::kLayerCam, 2), std::pair(2, 4));
  EXPECT_EQ(map(Explain::kRelevance, -1), std::pair(-1, 8));
}

// By the letter of the paper the scores of the top level are rounding; those of the leaves are not.
TEST_F(ApiExplain, FollowsTheLetterOfThePaper) {
  nestvit::Sample sample;
  sample.image = nestvit::testing::random_image(kHeight, kWidth);
  nestvit::ExplainRequest request;
  request.classes = {2};
  request.site = nestvit::Site::kOutput;
  request.propagation = nestvit::Propagation::kGradient;
  request.sign = nestvit::Sign::kPaper;
  const auto want = nestvit::Explainer(small, 1).explain(sample, request).front();
  const Explanation why = model->explain(view(), 2, -1, {.paper = true});
  EXPECT_FALSE(why.decided);
  ASSERT_EQ(why.tree.size(), want.tree->nodes.size());
  EXPECT_NE(why.tree.back().score, 0);
  for (size_t i = 0; i < why.tree.size(); ++i)
    EXPECT_EQ(why.tree[i].score, static_cast<float>(want.tree->nodes[i].score));
}

TEST_F(ApiExplain, EveryFormOfAnImageGetsTheSameBits) {
  const std::string want = text(model->explain(folder / "image.png"));
  std::ifstream file(folder / "image.png", std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(text(model->explain(std::as_bytes(std::span(bytes)))), want);
  EXPECT_EQ(text(model->explain(view())), want);
}

TEST_F(ApiExplain, ThreadsAskAtOnce) {
  const std::string want = text(model->explain(view()));
  const std::vector<float> answer = logits();
  std::vector<std::string> explained(8);
  std::vector<std::vector<float>> classified(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < explained.size(); ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        explained[i] = text(model->explain(view()));
        classified[i] = logits();
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(explained, ::testing::Each(want));
  EXPECT_THAT(classified, ::testing::Each(answer));
}

TEST_F(ApiExplain, ChildrenOfAForkExplain) {
  const std::string want = text(model->explain(view()));
  EXPECT_TRUE(nestvit::testing::in_child([&] { return text(model->explain(view())) == want; }));
  EXPECT_EQ(text(model->explain(view())), want);
}

// The first explanation comes when the files have been overwritten, cut and removed.
TEST_F(ApiExplain, OutlivesItsFiles) {
  const std::string want = text(model->explain(view()));
  const Model other = load();
  const auto weights = folder / "model" / "model.safetensors";
  std::ofstream(weights, std::ios::in | std::ios::out)
      << std::string(std::filesystem::file_size(weights), 'x');
  std::filesystem::resize_file(weights, 0);
  std::filesystem::remove_all(folder / "model");
  EXPECT_EQ(text(other.explain(view())), want);
}

TEST_F(ApiExplain, ChangesNoAnswer) {
  const Model plain = Model::load(folder / "model");
  EXPECT_EQ(plain.run(plain.prepare(view())), logits());
}

// Answers by the type asked for, explanations in f32.
TEST_F(ApiExplain, ExplainsInF32) {
  const auto dtype = nestvit::NumberType::kInt8;
  const Model plain = Model::load(folder / "model", {.dtype = dtype});
  const Model explaining = load(dtype);
  const std::vector<float> input = model->prepare(view());
  EXPECT_EQ(explaining.run(input), plain.run(input));
  EXPECT_NE(explaining.run(input), logits());
  EXPECT_EQ(text(explaining.explain(view(), 0)), text(model->explain(view(), 0)));
}

TEST_F(ApiExplain, MistakesAreErrors) {
  using ::testing::HasSubstr;
  const Model plain = Model::load(folder / "model");
  EXPECT_THAT(error_of([&] { plain.explain(view()); }), HasSubstr("Options::explain"));
  const auto error = [&](int index, int against, const ExplainOptions& options) {
    return error_of([&] { model->explain(view(), index, against, options); });
  };
  EXPECT_THAT(error(3, -1, {}), HasSubstr("class 3"));
  EXPECT_THAT(error(-2, -1, {}), HasSubstr("class -2"));
  EXPECT_THAT(error(1, 1, {}), HasSubstr("against itself"));
  EXPECT_THAT(error(-1, -1, {.method = Explain::kLayerCam, .level = 7}), HasSubstr("level 7"));
  EXPECT_THAT(error(-1, -1, {.level = 1}), HasSubstr("level"));
  EXPECT_THAT(error(-1, -1, {.method = Explain::kCam, .paper = true}), HasSubstr("paper"));
  EXPECT_THAT(error(-1, -1, by(static_cast<Explain>(6))), HasSubstr("6"));
  EXPECT_THAT(error_of([&] { model->explain("nowhere.png"); }), HasSubstr("nowhere.png"));
  EXPECT_THAT(error_of([&] { model->explain(std::span<const std::byte>()); }), HasSubstr("empty"));
}

}  // namespace
