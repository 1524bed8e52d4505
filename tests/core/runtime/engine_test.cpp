// The engine against the double-precision reference for every option and many geometries, and
// against the goldens of the official Flax models and of timm.
#include "runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

#include "core/runtime/reference_forward.h"
#include "kernels/isa.h"
#include "support/golden_model.h"

namespace nestvit {
namespace {

using testing::random_model;
using testing::ReferenceForward;

// The bound: relative to the largest entry of the expected array.
constexpr double kTolerance = 2e-5;

template <class Expected>
void expect_close(std::span<const float> got, const Expected& expected, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  double largest = 0, worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(std::isfinite(got[i])) << what << " at " << i;
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    worst =
        std::max(worst, std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i])));
  }
  ASSERT_GT(largest, 0) << what;
  EXPECT_LE(worst, kTolerance * largest) << what << ", largest entry " << largest;
}

std::vector<float> random_images(const NestConfig& config, int batch, uint64_t seed) {
  Rng rng(seed, Purpose::kTest, 1000);
  std::vector<float> images(size_t{1} * batch * config.in_channels * config.image_size *
                            config.image_size);
  for (float& value : images) value = rng.normal();
  return images;
}

void expect_equals_reference(const LoadedModel& model, int batch, const std::string& what) {
  SCOPED_TRACE(what);
  const NestConfig& config = model.config;
  const auto images = random_images(config, batch, 8);
  std::vector<double> logits;
  std::vector<std::vector<double>> levels(geometry(config).size());
  ReferenceForward reference(model);
  const size_t image = images.size() / batch;
  for (int b = 0; b < batch; ++b) {
    reference.run(std::span(images).subspan(b * image, image));
    logits.insert(logits.end(), reference.logits.begin(), reference.logits.end());
    for (size_t i = 0; i < levels.size(); ++i)
      for (const auto& row : reference.levels[i])
        levels[i].insert(levels[i].end(), row.begin(), row.end());
  }
  const Output output = Engine(model, {1}).run(images, batch, /*features=*/true);
  expect_close(output.logits, logits, "logits");
  ASSERT_EQ(output.levels.size(), levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    const Level level = geometry(config)[i];
    EXPECT_EQ(output.levels[i].shape,
              (std::vector<int64_t>{batch, level.blocks, level.tokens, level.width}));
    expect_close(output.levels[i].values, levels[i], "level " + std::to_string(i));
  }
}

NestConfig small_config() {
  NestConfig config;
  config.variant = "small";
  config.image_size = 16;
  config.num_classes = 5;
  config.init_patch_embed_size = 2;
  config.patch_size = 2;
  config.num_layers_per_block = {1, 2, 1};
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.mlp_ratio = 2;
  return config;
}

TEST(Engine, EqualsReferenceForEveryOption) {
  int number = 0;
  for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
      for (Gelu gelu : {Gelu::kTanh, Gelu::kErf})
        for (PoolPadding padding : {PoolPadding::kSame, PoolPadding::kSymmetric})
          for (bool bias : {true, false}) {
            NestConfig config = small_config();
            config.norm_type = norm;
            config.attn_type = attention;
            config.gelu = gelu;
            config.pool_padding = padding;
            config.qkv_bias = bias;
            config.in_channels = number % 3 == 0 ? 1 : 3;
            if (number % 2) config.scale_hidden_dims = 2;
            expect_equals_reference(random_model(config, 7), 1 + number % 3,
                                    "case " + std::to_string(number));
            ++number;
          }
}

struct Shape {
  const char* what;
  int image, channels, classes, token, block;
  std::vector<int> depths, widths, heads;
  double mlp_ratio;
};

TEST(Engine, EqualsReferenceForManyGeometries) {
  const std::vector<Shape> shapes = {
      {"one level", 12, 3, 3, 3, 4, {2}, {20}, {5}, 4},
      {"blocks of one token", 8, 3, 2, 1, 1, {1, 1, 1, 1}, {8, 8, 8, 8}, {2, 2, 2, 2}, 4},
      {"odd blocks", 42, 1, 7, 3, 7, {1, 1}, {12, 30}, {3, 5}, 1.5},
      {"heads of one channel", 20, 3, 4, 2, 5, {1, 1}, {6, 10}, {6, 10}, 0.5},
      {"one wide head", 24, 2, 1, 1, 3, {1, 1, 1, 1}, {5, 7, 9, 11}, {1, 1, 1, 1}, 3},
      {"narrowing", 16, 3, 300, 2, 4, {2, 1}, {48, 16}, {4, 2}, 4},
      {"a block of 256 tokens", 32, 3, 10, 1, 16, {1, 1}, {16, 24}, {2, 3}, 2},
      {"a block of 324 tokens", 18, 3, 10, 1, 18, {1}, {24}, {8}, 2},
      {"one channel", 8, 1, 2, 2, 2, {1, 1}, {1, 1}, {1, 1}, 1},
      {"wide", 28, 3, 5, 2, 7, {1, 2}, {96, 224}, {3, 7}, 5},
  };
  for (const Shape& shape : shapes)
    for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery}) {
      NestConfig config;
      config.image_size = shape.image;
      config.in_channels = shape.channels;
      config.num_classes = shape.classes;
      config.init_patch_embed_size = shape.token;
      config.patch_size = shape.block;
      config.num_layers_per_block = shape.depths;
      config.embed_dims = shape.widths;
      config.level_heads = shape.heads;
      config.mlp_ratio = shape.mlp_ratio;
      config.attn_type = attention;
      expect_equals_reference(random_model(config, 7), 2, shape.what);
    }
}

// With variances near the epsilons, a wrong epsilon changes the result by percents.
TEST(Engine, EpsilonsAreTheOfficialOnes) {
  for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    NestConfig config = small_config();
    config.norm_type = norm;
    LoadedModel model = random_model(config, 7);
    for (auto& [name, tensor] : model.tensors) {
      const bool small = name.ends_with("running_var");
      if (!small && name.find("pos_embed") == std::string::npos && !name.starts_with("patch_embed"))
        continue;
      auto values = tensor.to_f32();
      for (float& value : values) value *= small ? 1e-5f : 1e-3f;
      tensor = Tensor::f32(tensor.shape(), std::move(values));
    }
    expect_equals_reference(model, 2, "norm " + std::to_string(static_cast<int>(norm)));
  }
}

// More images than one piece takes, and a last piece that is not full.
TEST(Engine, LargeBatchEqualsSingleImages) {
  NestConfig config = small_config();
  config.norm_type = Norm::kGroup;
  const LoadedModel model = random_model(config, 3);
  const int batch = 75;
  const auto images = random_images(config, batch, 4);
  const size_t image = images.size() / batch;
  const Engine engine(model, {1});
  const Output all = engine.run(images, batch, true);
  for (int b = 0; b < batch; ++b) {
    const Output one = engine.run(std::span(images).subspan(b * image, image), 1, true);
    const size_t classes = config.num_classes;
    expect_close(std::span(all.logits).subspan(b * classes, classes), one.logits,
                 "logits " + std::to_string(b));
    for (size_t i = 0; i < one.levels.size(); ++i) {
      const auto& values = one.levels[i].values;
      expect_close(std::span(all.levels[i].values).subspan(b * values.size(), values.size()),
                   values, "level");
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

void expect_threads_and_neighbours_change_no_bit(NestConfig config) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    config.norm_type = norm;
    const LoadedModel model = random_model(config, 3);
    const auto images = random_images(config, 3, 4);
    const size_t image = images.size() / 3, classes = config.num_classes;
    const Output one = Engine(model, {1}).run(images, 3);
    for (int threads : {2, 3, 16}) {
      const Engine engine(model, {threads});
      EXPECT_EQ(engine.run(images, 3).logits, one.logits) << threads;
      const auto last = engine.run(std::span(images).subspan(2 * image), 1).logits;
      EXPECT_THAT(last, ::testing::ElementsAreArray(&one.logits[2 * classes], classes)) << threads;
    }
  }
}

TEST(Engine, ThreadsAndNeighboursChangeNoBit) {
  NestConfig config = small_config();
  config.image_size = 48;  // blocks of 6 x 6 tokens, which pieces cut anywhere
  config.patch_size = 6;
  expect_threads_and_neighbours_change_no_bit(config);
}

// Wide enough for Strassen's products, whose rows belong together in fours; an image has 196 of
// them at the first level and 49 at the second, enough for three processors.
TEST(Engine, ThreadsAndNeighboursChangeNoBitOfWideLevels) {
  NestConfig config = small_config();
  config.image_size = 28;
  config.patch_size = 7;
  config.num_layers_per_block = {1, 2};
  config.embed_dims = {96, 192};
  config.level_heads = {3, 6};
  expect_threads_and_neighbours_change_no_bit(config);
}

// The answers of `precision` differ from f32's, but by no more than `share` of the largest.
void expect_close_to_f32(NumberType precision, double share) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (const Attention attention : {Attention::kMultiHead, Attention::kMultiQuery}) {
      NestConfig config = small_config();
      config.norm_type = norm;
      config.attn_type = attention;
      const LoadedModel model = random_model(config, 3);
      const auto images = random_images(config, 3, 4);
      const auto f32 = Engine(model, {2}).run(images, 3).logits;
      const Engine engine(model, {2, precision});
      const auto logits = engine.run(images, 3).logits;
      EXPECT_NE(logits, f32);
      EXPECT_EQ(Engine(model, {1, precision}).run(images, 3).logits, logits);
      double largest = 0, worst = 0;
      for (size_t i = 0; i < f32.size(); ++i) {
        largest = std::max(largest, std::fabs(double{f32[i]}));
        worst = std::max(worst, std::fabs(double{logits[i]} - f32[i]));
      }
      EXPECT_LE(worst, share * largest) << "norm " << static_cast<int>(norm);
    }
}

// Operands are rounded by 2^-8 at most in every product; errors of either sign add up over five
// layers with two branches each. Convolution, attention's width and MLP are all even here.
TEST(Engine, Bf16IsCloseToF32) {
  if (!kernels::uses(kernels::Isa::kAvx512Bf16)) GTEST_SKIP() << "needs AVX512_BF16";
  expect_close_to_f32(NumberType::kBf16, 10.0 / 512);
}

// Half a step of 127 at most, of the largest value of a token or a weight's column.
TEST(Engine, Int8IsCloseToF32) { expect_close_to_f32(NumberType::kInt8, 10.0 / 254); }

TEST(Engine, PartsOfTheProfileAreTheWholeForward) {
  for (const std::string& name : variant_names()) {
    const NestConfig config = variant(name);
    int64_t sum = 0;
    for (const Level& level : geometry(config))
      for (int i = 0; i < kParts; ++i)
        sum += multiply_accumulates(config, level, static_cast<Part>(i));
    EXPECT_EQ(sum, multiply_accumulates(config)) << name;
  }
  const LoadedModel model = random_model(variant("nest_tiny_s16_32"), 3);
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

std::vector<float> to_nchw(const Tensor& nhwc) {
  const int64_t B = nhwc.dim(0), pixels = nhwc.dim(1) * nhwc.dim(2), C = nhwc.dim(3);
  const auto in = nhwc.to_f32();
  std::vector<float> out(in.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < C; ++c) out[(b * C + c) * pixels + p] = in[(b * pixels + p) * C + c];
  return out;
}

TEST(EngineGolden, EqualsFlax) {
  for (const auto& folder : testing::golden_cases("flax", "io.safetensors")) {
    SCOPED_TRACE(folder.string());
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    const Tensor& input = io.at("input");
    const Engine engine(testing::golden_flax_model(folder), {1});
    const Output output = engine.run(to_nchw(input), static_cast<int>(input.dim(0)), true);
    expect_close(output.logits, io.at("logits").to_f32(), "logits");
    int compared = 0;
    for (size_t i = 0; i < output.levels.size(); ++i) {
      const auto found = io.find("level_" + std::to_string(i) + "/output");
      if (found == io.end()) continue;
      EXPECT_EQ(output.levels[i].shape, found->second.shape());
      expect_close(output.levels[i].values, found->second.to_f32(), found->first);
      ++compared;
    }
    EXPECT_GT(compared, 0);
  }
}

// [B, T, N, C] -> [B, C, map, map]
std::vector<float> to_map(const LevelOutput& output, const Level& level) {
  const int64_t B = output.shape[0], C = level.width, size = level.map();
  std::vector<float> map(output.values.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t y = 0; y < size; ++y)
      for (int64_t x = 0; x < size; ++x) {
        const int64_t t = y / level.edge * level.grid + x / level.edge;
        const int64_t n = y % level.edge * level.edge + x % level.edge;
        for (int64_t c = 0; c < C; ++c)
          map[((b * C + c) * size + y) * size + x] =
              output.values[((b * level.blocks + t) * level.tokens + n) * C + c];
      }
  return map;
}

TEST(EngineGolden, EqualsTimm) {
  const TensorMap io = read_safetensors(testing::golden_root() / "timm" / "io.safetensors");
  for (const auto& folder : testing::golden_cases("timm", "config.json")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = load_model(folder);
    const std::string name = model.config.variant + "/";
    const Tensor& input = io.at("input");
    const Output output =
        Engine(model, {1}).run(input.as<float>(), static_cast<int>(input.dim(0)), true);
    expect_close(output.logits, find_tensor(io, name + "logits", "io.safetensors").to_f32(),
                 "logits");
    const auto levels = geometry(model.config);
    int compared = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto found = io.find(name + "level_" + std::to_string(i) + "/output_nchw");
      if (found == io.end()) continue;
      expect_close(to_map(output.levels[i], levels[i]), found->second.to_f32(), found->first);
      ++compared;
    }
    EXPECT_GT(compared, 0);
  }
}

}  // namespace
}  // namespace nestvit
