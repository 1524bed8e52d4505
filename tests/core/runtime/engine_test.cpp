// The engine: its checks, large batches, calls from many threads. forward_test.cpp has the numbers.
#include "runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "core/runtime/forked.h"
#include "core/runtime/reference_forward.h"
#include "core/runtime/small_model.h"
#include "support/near.h"

namespace nestvit {
namespace {

using testing::expect_near;
using testing::random_images;
using testing::random_model;
using testing::small_config;

// Relative to the largest entry of the expected array.
constexpr double kTolerance = 2e-5;

// More images than the forward takes at once, and a last call that has fewer.
TEST(Engine, LargeBatchEqualsSingleImages) {
  NestConfig config = small_config();
  config.norm_type = Norm::kGroup;
  const LoadedModel model = random_model(config, 3);
  const int batch = 75;
  const auto images = random_images(config, batch, 4);
  const size_t image = images.size() / batch;
  const Engine engine(model, {1});
  const Output all = engine.run(images, batch, true);
  for (const Level& level : geometry(config))
    EXPECT_EQ(all.levels.at(level.index).shape,
              (std::vector<int64_t>{batch, level.blocks, level.tokens, level.width}));
  for (int b = 0; b < batch; ++b) {
    const Output one = engine.run(std::span(images).subspan(b * image, image), 1, true);
    const size_t classes = config.num_classes;
    expect_near(std::span(all.logits).subspan(b * classes, classes), one.logits, kTolerance,
                "logits " + std::to_string(b));
    for (size_t i = 0; i < one.levels.size(); ++i) {
      const auto& values = one.levels[i].values;
      expect_near(std::span(all.levels[i].values).subspan(b * values.size(), values.size()), values,
                  kTolerance, "level");
    }
  }
}

TEST(Engine, CallsFromManyThreadsQueueUp) {
  const NestConfig config = small_config();
  const Engine engine(random_model(config, 3), {1});
  const auto images = random_images(config, 3, 4);
  const Output expected = engine.run(images, 3);
  std::vector<Output> outputs(8);
  std::vector<std::thread> threads;
  for (Output& output : outputs) threads.emplace_back([&] { output = engine.run(images, 3); });
  for (auto& thread : threads) thread.join();
  for (const Output& output : outputs) EXPECT_EQ(output.logits, expected.logits);
}

TEST(Engine, ChildrenOfAForkGetTheSameAnswers) {
  const NestConfig config = small_config();
  const LoadedModel model = random_model(config, 3);
  const auto images = random_images(config, 3, 4);
  std::optional<Engine> engine(std::in_place, model, EngineOptions{.threads = 2});
  const Output expected = engine->run(images, 3);
  EXPECT_TRUE(testing::in_child([&] {
    const bool same = engine->run(images, 3).logits == expected.logits;
    const Engine another(model, {.threads = 2});
    engine.reset();
    return same && another.run(images, 3).logits == expected.logits;
  }));
  EXPECT_EQ(engine->run(images, 3).logits, expected.logits);
}

// A call of the parent's may be half done when it forks.
TEST(Engine, ForksAmidCallsLeaveTheChildASoundModel) {
  if (testing::kForkAmidThreadsHangs)
    GTEST_SKIP() << "the sanitizer's allocator hangs after fork()";
  const NestConfig config = small_config();
  const Engine engine(random_model(config, 3), {.threads = 2});
  const auto images = random_images(config, 40, 4);
  const Output expected = engine.run(images, 40);
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    while (!stop) engine.run(images, 40);
  });
  const auto answers = [&] { return engine.run(images, 40).logits == expected.logits; };
  int good = 0;
  while (good < 20 && testing::in_child(answers)) ++good;
  stop = true;
  busy.join();
  EXPECT_EQ(good, 20);
}

// Each part that multiplies takes some time, and all together no more than the threads have.
TEST(Engine, ProfileOfEachNorm) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    NestConfig config = variant("nest_tiny_s16_32");
    config.norm_type = norm;
    const LoadedModel model = random_model(config, 3);
    const Engine engine(model, {.threads = 2});
    const auto images = random_images(model.config, 3, 9);
    const auto start = std::chrono::steady_clock::now();
    const Profile profile = engine.profile(images, 3, 2);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    double measured = 0;
    for (const Level& level : geometry(model.config))
      for (int i = 0; i < kParts; ++i) {
        const Part part = static_cast<Part>(i);
        if (multiply_accumulates(model.config, level, part) > 0) {
          EXPECT_GT(profile.seconds(level.index, part), 0) << part_name(part);
        }
        measured += profile.seconds(level.index, part);
      }
    EXPECT_LE(measured, 2 * took.count());
  }
}

TEST(Engine, FeaturesOnlyWhenAskedFor) {
  const NestConfig config = small_config();
  EXPECT_TRUE(
      Engine(random_model(config, 3), {1}).run(random_images(config, 1, 4), 1).levels.empty());
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Engine, WrongInputIsAnErrorThatNamesBothSizes) {
  const NestConfig config = small_config();
  const Engine engine(random_model(config, 3), {1});
  const std::vector<float> images(2 * 3 * 16 * 16);
  EXPECT_THAT(
      error_of([&] { engine.run(images, 1); }),
      ::testing::AllOf(::testing::HasSubstr("1536"), ::testing::HasSubstr("[1, 3, 16, 16]")));
  EXPECT_THAT(error_of([&] { engine.run(images, 0); }), ::testing::HasSubstr("0 images"));
  EXPECT_THAT(error_of([&] { engine.run(images, -2); }), ::testing::HasSubstr("-2 images"));
  EXPECT_EQ(engine.run(images, 2).logits.size(), 10u);
}

TEST(Engine, MissingTensorIsAnError) {
  LoadedModel model = random_model(small_config(), 3);
  model.tensors.erase("norm.bias");
  EXPECT_THAT(error_of([&] { Engine engine(model, {1}); }), ::testing::HasSubstr("norm.bias"));
}

}  // namespace
}  // namespace nestvit
