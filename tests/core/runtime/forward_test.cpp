// The forward against the double-precision reference, for every option and many geometries, and
// against the goldens of the official Flax models and of timm.
#include "runtime/forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>

#include "core/runtime/reference_forward.h"
#include "core/runtime/small_model.h"
#include "kernels/isa.h"
#include "runtime/compute_thread.h"
#include "support/golden_model.h"
#include "support/near.h"

namespace nestvit {
namespace {

using testing::expect_near;
using testing::random_images;
using testing::random_model;
using testing::ReferenceForward;
using testing::small_config;
using Floats = std::vector<float>;

// Relative to the largest entry of the expected array.
constexpr double kTolerance = 2e-5;

struct Answer {
  Floats logits;               // [B, K]
  std::vector<Floats> levels;  // [B, T, N, C]
};

Answer answer(const LoadedModel& model, std::span<const float> images, int64_t batch,
              int threads = 1, NumberType precision = NumberType::kF32) {
  Answer result;
  result.logits.resize(batch * model.config.num_classes);
  std::vector<float*> features;
  for (const Level& level : geometry(model.config))
    result.levels.emplace_back(batch * level.blocks * level.tokens * level.width);
  for (Floats& level : result.levels) features.push_back(level.data());
  ComputeThread compute(threads);
  compute.run([&] {
    Forward forward(model, compute.threads(), precision);
    forward(images.data(), batch, result.logits.data(), features);
  });
  return result;
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
  const Answer got = answer(model, images, batch);
  expect_near(got.logits, logits, kTolerance, "logits");
  for (size_t i = 0; i < levels.size(); ++i)
    expect_near(got.levels[i], levels[i], kTolerance, "level " + std::to_string(i));
}

TEST(Forward, EqualsReferenceForEveryOption) {
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

bool has_whole_groups(const std::vector<int>& widths) {
  return std::all_of(widths.begin(), widths.end(),
                     [](int width) { return width % kGroupNormGroups == 0; });
}

TEST(Forward, EqualsReferenceForManyGeometries) {
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
      {"odd blocks with groups", 42, 1, 7, 3, 7, {1, 1}, {32, 64}, {1, 4}, 1.5},
  };
  for (const Shape& shape : shapes)
    for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
      for (const Attention attention : {Attention::kMultiHead, Attention::kMultiQuery}) {
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
        config.norm_type = norm;
        config.attn_type = attention;
        if (norm == Norm::kGroup && !has_whole_groups(shape.widths)) continue;
        expect_equals_reference(random_model(config, 7), 2, shape.what);
      }
}

// With variances near the epsilons, a wrong epsilon changes the result by percents.
TEST(Forward, EpsilonsAreTheOfficialOnes) {
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

void expect_threads_and_neighbours_change_no_bit(NestConfig config) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
    config.norm_type = norm;
    const LoadedModel model = random_model(config, 3);
    const auto images = random_images(config, 3, 4);
    const size_t image = images.size() / 3, classes = config.num_classes;
    const Floats one = answer(model, images, 3).logits;
    for (int threads : {2, 3, 16}) {
      EXPECT_EQ(answer(model, images, 3, threads).logits, one) << threads;
      const Floats last = answer(model, std::span(images).subspan(2 * image), 1, threads).logits;
      EXPECT_THAT(last, ::testing::ElementsAreArray(&one[2 * classes], classes)) << threads;
    }
  }
}

TEST(Forward, ThreadsAndNeighboursChangeNoBit) {
  NestConfig config = small_config();
  config.image_size = 48;  // blocks of 6 x 6 tokens, which pieces cut anywhere
  config.patch_size = 6;
  expect_threads_and_neighbours_change_no_bit(config);
}

// Wide enough for Strassen's products, whose rows belong together in fours; an image has 196 of
// them at the first level and 49 at the second, enough for three processors.
TEST(Forward, ThreadsAndNeighboursChangeNoBitOfWideLevels) {
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
      const Floats f32 = answer(model, images, 3, 2).logits;
      const Floats logits = answer(model, images, 3, 2, precision).logits;
      EXPECT_NE(logits, f32);
      EXPECT_EQ(answer(model, images, 3, 1, precision).logits, logits);
      expect_near(logits, f32, share, "norm " + std::to_string(static_cast<int>(norm)));
    }
}

// Operands are rounded by 2^-8 at most in every product; errors of either sign add up over five
// layers with two branches each. Convolution, attention's width and MLP are all even here.
TEST(Forward, Bf16IsCloseToF32) {
  if (!kernels::uses(kernels::Isa::kAvx512Bf16)) GTEST_SKIP() << "needs AVX512_BF16";
  expect_close_to_f32(NumberType::kBf16, 10.0 / 512);
}

// Half a step of 127 at most, of the largest value of a token or a weight's column.
TEST(Forward, Int8IsCloseToF32) { expect_close_to_f32(NumberType::kInt8, 10.0 / 254); }

Floats to_nchw(const Tensor& nhwc) {
  const int64_t B = nhwc.dim(0), pixels = nhwc.dim(1) * nhwc.dim(2), C = nhwc.dim(3);
  const auto in = nhwc.to_f32();
  Floats out(in.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < C; ++c) out[(b * C + c) * pixels + p] = in[(b * pixels + p) * C + c];
  return out;
}

TEST(ForwardGolden, EqualsFlax) {
  for (const auto& folder : testing::golden_cases("flax", "io.safetensors")) {
    SCOPED_TRACE(folder.string());
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    const Tensor& input = io.at("input");
    const LoadedModel model = testing::golden_flax_model(folder);
    const Answer got = answer(model, to_nchw(input), input.dim(0));
    expect_near(got.logits, io.at("logits").to_f32(), kTolerance, "logits");
    const auto levels = geometry(model.config);
    int compared = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto found = io.find("level_" + std::to_string(i) + "/output");
      if (found == io.end()) continue;
      EXPECT_EQ(found->second.shape(), (std::vector<int64_t>{input.dim(0), levels[i].blocks,
                                                             levels[i].tokens, levels[i].width}));
      expect_near(got.levels[i], found->second.to_f32(), kTolerance, found->first);
      ++compared;
    }
    EXPECT_GT(compared, 0);
  }
}

// [B, T, N, C] -> [B, C, map, map]
Floats to_map(const Floats& output, int64_t B, const Level& level) {
  const int64_t C = level.width, size = level.map();
  Floats map(output.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t y = 0; y < size; ++y)
      for (int64_t x = 0; x < size; ++x) {
        const int64_t t = y / level.edge * level.grid + x / level.edge;
        const int64_t n = y % level.edge * level.edge + x % level.edge;
        for (int64_t c = 0; c < C; ++c)
          map[((b * C + c) * size + y) * size + x] =
              output[((b * level.blocks + t) * level.tokens + n) * C + c];
      }
  return map;
}

TEST(ForwardGolden, EqualsTimm) {
  const TensorMap io = read_safetensors(testing::golden_root() / "timm" / "io.safetensors");
  for (const auto& folder : testing::golden_cases("timm", "config.json")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = load_model(folder);
    const std::string name = model.config.variant + "/";
    const Tensor& input = io.at("input");
    const Answer got = answer(model, input.as<float>(), input.dim(0));
    expect_near(got.logits, find_tensor(io, name + "logits", "io.safetensors").to_f32(), kTolerance,
                "logits");
    const auto levels = geometry(model.config);
    int compared = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto found = io.find(name + "level_" + std::to_string(i) + "/output_nchw");
      if (found == io.end()) continue;
      expect_near(to_map(got.levels[i], input.dim(0), levels[i]), found->second.to_f32(),
                  kTolerance, found->first);
      ++compared;
    }
    EXPECT_GT(compared, 0);
  }
}

}  // namespace
}  // namespace nestvit
