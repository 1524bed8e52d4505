// The public library against the internal one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/nestvit.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include "core/runtime/forked.h"
#include "image/codecs/codec.h"
#include "image/transform.h"
#include "runtime/engine.h"
#include "support/errors.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace {

using nestvit::Model;
using nestvit::testing::error_of;

constexpr int kSide = 12;

// A tiny model and an image, and what the internal library makes of them.
class Api : public ::testing::Test {
 protected:
  Api() {
    nestvit::LoadedModel tiny = nestvit::testing::tiny_model({"ant", "bee", "cat", "dog"});
    tiny.preprocessing = nestvit::preprocessing_mode("timm", 8);
    save_model(folder / "model", tiny);
    nestvit::Sample sample;
    sample.image = {kSide, kSide, 3, {}};
    for (size_t i = 0; i < sample.image.size(); ++i)
      sample.image.pixels.push_back(static_cast<uint8_t>(i * 37 % 251));
    write_png(folder / "image.png", sample.image);
    pixels = sample.image.pixels;
    const nestvit::Pixels prepared = evaluation_pixels(sample, tiny.preprocessing);
    input.resize(prepared.values.size());
    normalise(prepared, tiny.preprocessing, input);
    logits = nestvit::Engine(tiny, {1}).run(input, 1).logits;
    model.emplace(Model::load(folder / "model"));
  }

  const nestvit::testing::TempDir folder;
  std::vector<uint8_t> pixels;       // of image.png, [kSide, kSide, 3]
  std::vector<float> input, logits;  // the prepared image and the engine's answer
  std::optional<Model> model;
};

void expect_same(const std::vector<nestvit::Prediction>& a,
                 const std::vector<nestvit::Prediction>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].index, b[i].index);
    EXPECT_EQ(a[i].label, b[i].label);
    EXPECT_EQ(a[i].probability, b[i].probability);
  }
}

TEST_F(Api, DescribesItself) {
  EXPECT_EQ(model->image_size(), 8);
  EXPECT_EQ(model->channels(), 3);
  EXPECT_THAT(model->labels(), ::testing::ElementsAre("ant", "bee", "cat", "dog"));
  EXPECT_THAT(nestvit::version(), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST_F(Api, EveryFormOfAnImageGetsTheEnginesAnswer) {
  const auto by_path = model->classify(folder / "image.png");
  ASSERT_EQ(by_path.size(), 4u);
  double sum = 0;
  std::vector<double> powers;
  for (const float logit : logits) powers.push_back(std::exp(double{logit}));
  for (const double power : powers) sum += power;
  for (const auto& [index, label, probability] : by_path) {
    EXPECT_EQ(label, model->labels()[static_cast<size_t>(index)]);
    EXPECT_NEAR(probability, powers[static_cast<size_t>(index)] / sum, 1e-6);
  }
  for (size_t i = 1; i < by_path.size(); ++i)
    EXPECT_GE(by_path[i - 1].probability, by_path[i].probability);

  std::ifstream file(folder / "image.png", std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  expect_same(model->classify(std::as_bytes(std::span(bytes))), by_path);
  const nestvit::ImageView view{pixels.data(), kSide, kSide, 3};
  expect_same(model->classify(view), by_path);
  EXPECT_EQ(model->prepare(view), input);
  EXPECT_EQ(model->run(input), logits);
  EXPECT_EQ(model->classify(view, 2).size(), 2u);
}

TEST_F(Api, BatchesAreRowByRow) {
  std::vector<float> two = input;
  two.insert(two.end(), input.begin(), input.end());
  std::vector<float> want = logits;
  want.insert(want.end(), logits.begin(), logits.end());
  EXPECT_EQ(model->run(two), want);
}

TEST_F(Api, ThreadsAskAtOnce) {
  const auto want = model->classify(folder / "image.png");
  std::vector<std::vector<nestvit::Prediction>> answers(8);
  std::vector<std::thread> threads;
  for (auto& answer : answers)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) answer = model->classify(folder / "image.png");
    });
  for (auto& thread : threads) thread.join();
  for (const auto& answer : answers) expect_same(answer, want);
}

// PyTorch's DataLoader and gunicorn fork processes that have used a model.
TEST_F(Api, ChildrenOfAForkUseTheModelAndLoadOthers) {
  const auto want = model->classify(folder / "image.png");
  EXPECT_TRUE(nestvit::testing::in_child([&] {
    const bool same = model->run(input) == logits &&
                      model->classify(folder / "image.png").front().label == want.front().label;
    const Model another = Model::load(folder / "model");
    model.reset();
    return same && another.run(input) == logits;
  }));
  EXPECT_EQ(model->run(input), logits);
}

TEST_F(Api, MovesAndOutlivesItsFiles) {
  Model moved = std::move(*model);
  std::filesystem::remove_all(folder / "model");
  EXPECT_EQ(moved.run(input), logits);
  *model = std::move(moved);
  EXPECT_EQ(model->run(input), logits);
}

TEST_F(Api, MistakesAreErrors) {
  using ::testing::HasSubstr;
  EXPECT_THAT(error_of([] { Model::load("nowhere/model"); }), HasSubstr("nowhere/model"));
  EXPECT_THAT(error_of([&] { model->classify("nowhere.png"); }), HasSubstr("nowhere.png"));
  EXPECT_THAT(error_of([&] { model->classify(folder / "image.png", 0); }), HasSubstr("0 classes"));
  EXPECT_THAT(error_of([&] { model->classify(std::span<const std::byte>()); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([&] {
                model->classify(nestvit::ImageView{nullptr, 2, 2, 3});
              }),
              HasSubstr("2 x 2"));
  EXPECT_THAT(error_of([&] { model->run(std::vector<float>(5)); }), HasSubstr("192"));
}

}  // namespace
