// The public library against the internal one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/nestvit.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <thread>

#include "e2e/api/fixture.h"

namespace {

using nestvit::Model;
using nestvit::testing::Fixture;

class Api : public ::testing::Test {
 protected:
  Fixture fixture;
  Model model = Model::load(fixture.folder / "model");
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
  EXPECT_EQ(model.image_size(), 8);
  EXPECT_EQ(model.channels(), 3);
  EXPECT_THAT(model.labels(), ::testing::ElementsAre("ant", "bee", "cat", "dog"));
  EXPECT_THAT(nestvit::version(), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST_F(Api, EveryFormOfAnImageGetsTheEnginesAnswer) {
  const auto by_path = model.classify(fixture.folder / "image.png");
  ASSERT_EQ(by_path.size(), 4u);
  double sum = 0;
  std::vector<double> powers;
  for (const float logit : fixture.logits) powers.push_back(std::exp(double{logit}));
  for (const double power : powers) sum += power;
  for (const auto& [index, label, probability] : by_path) {
    EXPECT_EQ(label, model.labels()[static_cast<size_t>(index)]);
    EXPECT_NEAR(probability, powers[static_cast<size_t>(index)] / sum, 1e-6);
  }
  for (size_t i = 1; i < by_path.size(); ++i)
    EXPECT_GE(by_path[i - 1].probability, by_path[i].probability);

  std::ifstream file(fixture.folder / "image.png", std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  expect_same(model.classify(std::as_bytes(std::span(bytes))), by_path);
  const nestvit::ImageView view{fixture.pixels.data(), 12, 12, 3};
  expect_same(model.classify(view), by_path);
  EXPECT_EQ(model.prepare(view), fixture.input);
  EXPECT_EQ(model.run(fixture.input), fixture.logits);
  EXPECT_EQ(model.classify(view, 2).size(), 2u);
}

TEST_F(Api, BatchesAreRowByRow) {
  std::vector<float> two = fixture.input;
  two.insert(two.end(), fixture.input.begin(), fixture.input.end());
  std::vector<float> want = fixture.logits;
  want.insert(want.end(), fixture.logits.begin(), fixture.logits.end());
  EXPECT_EQ(model.run(two), want);
}

TEST_F(Api, ThreadsAskAtOnce) {
  const auto want = model.classify(fixture.folder / "image.png");
  std::vector<std::vector<nestvit::Prediction>> answers(8);
  std::vector<std::thread> threads;
  for (auto& answer : answers)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) answer = model.classify(fixture.folder / "image.png");
    });
  for (auto& thread : threads) thread.join();
  for (const auto& answer : answers) expect_same(answer, want);
}

TEST_F(Api, MovesAndOutlivesItsFiles) {
  Model moved = std::move(model);
  std::filesystem::remove_all(fixture.folder / "model");
  EXPECT_EQ(moved.run(fixture.input), fixture.logits);
  model = std::move(moved);
  EXPECT_EQ(model.run(fixture.input), fixture.logits);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const nestvit::Error& e) {
    return e.what();
  }
  return "no error";
}

TEST_F(Api, MistakesAreErrors) {
  using ::testing::HasSubstr;
  EXPECT_THAT(error_of([] { Model::load("nowhere/model"); }), HasSubstr("nowhere/model"));
  EXPECT_THAT(error_of([&] { model.classify("nowhere.png"); }), HasSubstr("nowhere.png"));
  EXPECT_THAT(error_of([&] { model.classify(fixture.folder / "image.png", 0); }),
              HasSubstr("0 classes"));
  EXPECT_THAT(error_of([&] { model.classify(std::span<const std::byte>()); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([&] {
                model.classify(nestvit::ImageView{nullptr, 2, 2, 3});
              }),
              HasSubstr("2 x 2"));
  EXPECT_THAT(error_of([&] { model.run(std::vector<float>(5)); }), HasSubstr("192"));
}

}  // namespace
