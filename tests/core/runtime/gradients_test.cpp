// Gradients against the double-precision reference for every option and many geometries, the
// reference against differences of its forward, and both against identities that hold for any
// network.
#include "runtime/gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <string>

#include "core/runtime/reference_backward.h"
#include "core/runtime/small_model.h"
#include "support/near.h"

namespace nestvit {
namespace {

using testing::expect_near;
using testing::random_images;
using testing::random_model;
using testing::ReferenceBackward;
using testing::small_config;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

// Relative to the largest entry of the expected array: ten times what one f32 program differs from
// double precision, sqrt(168 operations in sequence) * 6e-8.
constexpr double kTolerance = 1e-5;

constexpr Propagation kBoth[] = {Propagation::kConservative, Propagation::kGradient};

Floats one_hot(size_t k, size_t K) {
  Floats target(K);
  target[k] = 1;
  return target;
}

// Of every image, for the same targets.
Targets always(std::vector<Floats> targets) {
  return [targets](int, std::span<const float>) { return targets; };
}

Floats random_target(const NestConfig& config) {
  Rng rng(5, Purpose::kTest, 77);
  Floats target(config.num_classes);
  for (float& value : target) value = rng.normal();
  return target;
}

// [T * N][C] in block order, one row after the other.
Doubles flat(const ReferenceBackward::Rows& rows) {
  Doubles values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return values;
}

// The rows of a level as a plane, row by row.
Doubles plane(const Level& level, const ReferenceBackward::Rows& rows) {
  Doubles values;
  for (int y = 0; y < level.map(); ++y)
    for (int x = 0; x < level.map(); ++x) {
      const int t = y / level.edge * level.grid + x / level.edge;
      const auto& row = rows[t * level.tokens + y % level.edge * level.edge + x % level.edge];
      values.insert(values.end(), row.begin(), row.end());
    }
  return values;
}

void expect_equal(const Activation& got, const Doubles& values, const Doubles& gradient,
                  const std::string& what) {
  expect_near(got.values, values, kTolerance, what + " values");
  expect_near(got.gradient, gradient, kTolerance, what + " gradient");
}

// An image for which rounding does not decide which pixel a pooling window takes.
Floats decided_image(const LoadedModel& model, ReferenceBackward* reference, const Floats& target,
                     Propagation propagation, double gap = 1e-5) {
  for (uint64_t seed = 8; seed < 60; ++seed) {
    Floats image = random_images(model.config, 1, seed);
    reference->run(Doubles(image.begin(), image.end()), Doubles(target.begin(), target.end()),
                   propagation);
    if (reference->smallest_gap() > gap) return image;
  }
  ADD_FAILURE() << "no image without near-ties";
  return {};
}

void expect_equals_reference(const LoadedModel& model, const std::string& what) {
  const NestConfig& config = model.config;
  const GradientEngine engine(model, 1);
  const Floats target = random_target(config);
  const auto levels = geometry(config);
  for (const Propagation propagation : kBoth) {
    SCOPED_TRACE(what + (propagation == Propagation::kGradient ? ", gradient" : ", conservative"));
    ReferenceBackward reference(model);
    const Floats image = decided_image(model, &reference, target, propagation);
    const Gradients got =
        engine.run(image, 1, always({target}), {propagation, Depth::kPixels}).at(0).at(0);
    expect_near(got.logits, reference.logits, kTolerance, "logits");
    expect_equal(got.final_norm, flat(reference.final_norm.values),
                 flat(reference.final_norm.gradient), "final norm");
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto& wanted = reference.arrays[i];
      const std::string level = "level " + std::to_string(i);
      expect_equal(got.levels[i].output, flat(wanted.output.values), flat(wanted.output.gradient),
                   level + " output");
      expect_equal(got.levels[i].input, flat(wanted.input.values), flat(wanted.input.gradient),
                   level + " input");
      if (i == 0) {
        EXPECT_TRUE(got.levels[i].aggregated.values.empty());
        continue;
      }
      expect_equal(got.levels[i].aggregated, plane(levels[i - 1], wanted.aggregated.values),
                   plane(levels[i - 1], wanted.aggregated.gradient), level + " aggregated");
    }
    EXPECT_EQ(got.pixels.values, image);
    expect_near(got.pixels.gradient, reference.pixels, kTolerance, "pixels");
  }
}

TEST(Gradients, EqualReferenceForEveryOption) {
  int number = 0;
  for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
      for (Gelu gelu : {Gelu::kTanh, Gelu::kErf})
        for (PoolPadding padding : {PoolPadding::kSame, PoolPadding::kSymmetric}) {
          NestConfig config = small_config();
          config.norm_type = norm;
          // With one channel to a group the logits would not depend on the image.
          if (norm == Norm::kGroup) config.embedding_dim = 64;
          config.attn_type = attention;
          config.gelu = gelu;
          config.pool_padding = padding;
          config.qkv_bias = number % 5 != 0;
          config.in_channels = number % 3 == 0 ? 1 : 3;
          if (number % 2) config.scale_hidden_dims = 2;
          expect_equals_reference(random_model(config, 7), "case " + std::to_string(number));
          ++number;
        }
}

struct Shape {
  const char* what;
  int image, channels, classes, token, block;
  std::vector<int> depths, widths, heads;
  double mlp_ratio;
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {
      {"one level", 12, 3, 3, 3, 4, {2}, {20}, {5}, 4},
      {"blocks of one token", 8, 3, 2, 1, 1, {1, 1, 1, 1}, {8, 8, 8, 8}, {2, 2, 2, 2}, 4},
      {"odd blocks", 42, 1, 7, 3, 7, {1, 1}, {12, 30}, {3, 5}, 1.5},
      {"heads of one channel", 20, 3, 4, 2, 5, {1, 1}, {6, 10}, {6, 10}, 0.5},
      {"one class, one wide head", 24, 2, 1, 2, 3, {1, 1, 1}, {5, 9, 11}, {1, 1, 1}, 3},
      {"narrowing", 16, 3, 300, 2, 4, {2, 1}, {48, 16}, {4, 2}, 4},
      {"wide", 28, 3, 5, 2, 7, {1, 2}, {96, 192}, {3, 6}, 3},
      {"odd blocks with groups", 18, 1, 7, 3, 3, {1, 1}, {64, 128}, {1, 4}, 1.5},
  };
  return all;
}

// A test each: under the sanitizers a wide one takes minutes.
class GradientsOfShape : public ::testing::TestWithParam<int> {};

TEST_P(GradientsOfShape, EqualReference) {
  const Shape& shape = shapes().at(static_cast<size_t>(GetParam()));
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
      if (norm == Norm::kGroup && shape.widths[0] != 64) continue;
      expect_equals_reference(random_model(config, 7), shape.what);
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GradientsOfShape,
                         ::testing::Range(0, static_cast<int>(shapes().size())),
                         [](const auto& shape) {
                           std::string name = shapes()[static_cast<size_t>(shape.param)].what;
                           for (char& c : name)
                             if (c == ' ' || c == ',') c = '_';
                           return name;
                         });

// The smallest net that has every part; wide enough for two channels to a group.
NestConfig tiny_config(Norm norm, Attention attention) {
  NestConfig config;
  config.image_size = 8;
  config.in_channels = 1;
  config.num_classes = 3;
  config.init_patch_embed_size = 2;
  config.patch_size = 2;
  config.num_layers_per_block = {1, 2};
  config.embedding_dim = norm == Norm::kGroup ? 64 : 8;
  config.num_heads = 2;
  config.mlp_ratio = 2;
  config.norm_type = norm;
  config.attn_type = attention;
  return config;
}

// Probes some entries of an array; the pooling windows are far from ties.
void expect_differences(const ReferenceBackward& reference, ReferenceBackward::Where where, int i,
                        const ReferenceBackward::Rows& gradient) {
  const size_t C = gradient[0].size();
  Doubles got, wanted;
  for (size_t k = 0; k < 8; ++k) {
    const size_t row = 5 * k % gradient.size(), column = (3 * k + 1) % C;
    got.push_back(gradient[row][column]);
    wanted.push_back(reference.difference(where, i, row, column, 1e-6));
  }
  double largest = 0;
  for (const auto& each : gradient)
    for (double value : each) largest = std::max(largest, std::abs(value));
  // A difference of doubles of order 1 over 2e-6 is exact to about 1e-9.
  EXPECT_LE(testing::largest_difference(got, wanted), 1e-6 * largest + 1e-9)
      << "array " << static_cast<int>(where) << " of level " << i;
}

TEST(GradientsReference, EqualsDifferencesOfItsForward) {
  using Where = ReferenceBackward::Where;
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (const Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
      for (const Propagation propagation : kBoth) {
        NestConfig config = tiny_config(norm, attention);
        config.gelu = attention == Attention::kMultiHead ? Gelu::kTanh : Gelu::kErf;
        config.pool_padding =
            attention == Attention::kMultiHead ? PoolPadding::kSame : PoolPadding::kSymmetric;
        const LoadedModel model = random_model(config, 11);
        ReferenceBackward reference(model);
        decided_image(model, &reference, random_target(config), propagation, 1e-4);
        for (int i : {0, 1}) {
          const auto& arrays = reference.arrays[i];
          expect_differences(reference, Where::kInput, i, arrays.input.gradient);
          expect_differences(reference, Where::kOutput, i, arrays.output.gradient);
        }
        expect_differences(reference, Where::kAggregated, 1,
                           reference.arrays[1].aggregated.gradient);
        expect_differences(reference, Where::kFinalNorm, 0, reference.final_norm.gradient);
        double largest = 0;
        for (const double value : reference.pixels) largest = std::max(largest, std::abs(value));
        for (size_t pixel = 0; pixel < reference.pixels.size(); pixel += 7)
          EXPECT_NEAR(reference.pixels[pixel], reference.pixel_difference(pixel, 1e-6),
                      1e-6 * largest + 1e-9);
      }
}

// A model whose shares are complete: without biases, norms' shifts and position embeddings.
LoadedModel without_constants(const NestConfig& config) {
  LoadedModel model = random_model(config, 7);
  for (auto& [name, tensor] : model.tensors)
    if (name.ends_with(".bias") || name.ends_with("pos_embed") || name.ends_with("running_mean"))
      tensor = Tensor::f32(tensor.shape(), Floats(tensor.size()));
  return model;
}

struct Sum {
  double signed_sum = 0, absolute = 0;
};
Sum sum_of(const Activation& array) {
  Sum sum;
  EXPECT_EQ(array.values.size(), array.gradient.size());
  for (size_t i = 0; i < array.values.size(); ++i) {
    const double product = double{array.values[i]} * array.gradient[i];
    sum.signed_sum += product;
    sum.absolute += std::abs(product);
  }
  return sum;
}

void expect_sum(const Activation& array, double wanted, const std::string& what) {
  const Sum sum = sum_of(array);
  ASSERT_GT(sum.absolute, 0) << what;
  EXPECT_NEAR(sum.signed_sum, wanted, 1e-5 * sum.absolute) << what;
}

TEST(Gradients, ConservativeSharesAddUpToTheTarget) {
  for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
      for (Gelu gelu : {Gelu::kTanh, Gelu::kErf}) {
        NestConfig config = small_config();
        config.norm_type = norm;
        if (norm == Norm::kGroup) config.embedding_dim = 64;
        config.attn_type = attention;
        config.gelu = gelu;
        config.pool_padding = gelu == Gelu::kTanh ? PoolPadding::kSame : PoolPadding::kSymmetric;
        const GradientEngine engine(without_constants(config), 2);
        const Gradients got = engine
                                  .run(random_images(config, 1, 4), 1, always({one_hot(1, 5)}),
                                       {Propagation::kConservative, Depth::kPixels})
                                  .at(0)
                                  .at(0);
        EXPECT_EQ(got.target, got.logits[1]);
        for (size_t i = 0; i < got.levels.size(); ++i) {
          const std::string level = "level " + std::to_string(i);
          expect_sum(got.levels[i].input, got.target, level + " input");
          expect_sum(got.levels[i].output, got.target, level + " output");
          if (i > 0) expect_sum(got.levels[i].aggregated, got.target, level + " aggregated");
        }
        expect_sum(got.final_norm, got.target, "final norm");
        expect_sum(got.pixels, got.target, "pixels");
      }
}

// Layer norm does not change when a token is scaled, so the gradient is orthogonal to each token
// that only the final norm reads. A max-pool hands its results' shares to their pixels.
TEST(Gradients, IdentitiesOfNormAndPool) {
  NestConfig config = small_config();
  const GradientEngine engine(random_model(config, 7), 1);
  const Gradients got = engine
                            .run(random_images(config, 1, 4), 1, always({random_target(config)}),
                                 {Propagation::kGradient, Depth::kLevels})
                            .at(0)
                            .at(0);
  const Activation& top = got.levels.back().output;
  const int64_t C = geometry(config).back().width;
  for (size_t token = 0; token < top.values.size() / C; ++token) {
    Activation one;
    one.values.assign(top.values.begin() + token * C, top.values.begin() + (token + 1) * C);
    one.gradient.assign(top.gradient.begin() + token * C, top.gradient.begin() + (token + 1) * C);
    expect_sum(one, 0, "token " + std::to_string(token));
  }
  for (size_t i = 1; i < got.levels.size(); ++i)
    expect_sum(got.levels[i].aggregated, sum_of(got.levels[i].input).signed_sum,
               "pool of level " + std::to_string(i));
}

// All arrays of a result, to compare bits.
std::vector<const Floats*> arrays_of(const Gradients& g) {
  std::vector<const Floats*> all = {&g.logits, &g.final_norm.values, &g.final_norm.gradient,
                                    &g.pixels.values, &g.pixels.gradient};
  for (const LevelGradients& level : g.levels)
    for (const Activation* array : {&level.input, &level.output, &level.aggregated}) {
      all.push_back(&array->values);
      all.push_back(&array->gradient);
    }
  return all;
}

void expect_same_bits(const Gradients& a, const Gradients& b, const std::string& what) {
  const auto left = arrays_of(a), right = arrays_of(b);
  ASSERT_EQ(left.size(), right.size());
  EXPECT_EQ(a.target, b.target) << what;
  for (size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(*left[i] == *right[i]) << what << " " << i;
}

TEST(Gradients, OfADifferenceAreTheDifference) {
  const NestConfig config = small_config();
  const GradientEngine engine(random_model(config, 7), 1);
  Floats against = one_hot(1, 5);
  against[3] = -1;
  for (const Propagation propagation : kBoth) {
    const auto got =
        engine
            .run(random_images(config, 1, 4), 1, always({one_hot(1, 5), one_hot(3, 5), against}),
                 {propagation, Depth::kPixels})
            .at(0);
    ASSERT_EQ(got.size(), 3u);
    const auto a = arrays_of(got[0]), b = arrays_of(got[1]), difference = arrays_of(got[2]);
    for (size_t i = 0; i < a.size(); ++i) {
      if (*a[i] == *b[i]) continue;  // values
      Doubles wanted(a[i]->size());
      for (size_t k = 0; k < wanted.size(); ++k) wanted[k] = double{(*a[i])[k]} - (*b[i])[k];
      expect_near(*difference[i], wanted, kTolerance, "array " + std::to_string(i));
    }
  }
}

// Other targets are neighbours, too: an image may have more than another, or none.
void expect_nothing_changes_a_bit(NestConfig config) {
  for (const Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup})
    for (const Propagation propagation : kBoth) {
      config.norm_type = norm;
      const LoadedModel model = random_model(config, 3);
      const auto images = random_images(config, 3, 4);
      const size_t image = images.size() / 3, K = config.num_classes;
      const Targets many = [&](int b, std::span<const float>) {
        std::vector<Floats> targets;
        for (int k = 0; k < 2 * b; ++k) targets.push_back(one_hot(k, K));
        return targets;
      };
      const GradientOptions options{propagation, Depth::kPixels};
      const auto all = GradientEngine(model, 1).run(images, 3, many, options);
      ASSERT_TRUE(all[0].empty());
      ASSERT_EQ(all[1].size(), 2u);
      ASSERT_EQ(all[2].size(), 4u);
      for (const int threads : {2, 3, 16}) {
        const GradientEngine engine(model, threads);
        expect_same_bits(engine.run(images, 3, many, options)[1][1], all[1][1], "threads");
        const auto one =
            engine.run(std::span(images).subspan(2 * image), 1, always({one_hot(3, K)}), options);
        expect_same_bits(one[0][0], all[2][3], "alone");
        expect_same_bits(engine.run(images, 3, many, options)[2][3], all[2][3], "again");
      }
    }
}

TEST(Gradients, ThreadsNeighboursAndTargetsChangeNoBit) {
  NestConfig config = small_config();
  config.image_size = 24;  // blocks of 6 x 6 tokens, which pieces cut anywhere
  config.patch_size = 6;
  config.num_layers_per_block = {1, 2};
  expect_nothing_changes_a_bit(config);
  config.attn_type = Attention::kMultiHead;
  expect_nothing_changes_a_bit(config);
}

// Wide enough for Strassen's products, whose rows belong together in fours.
TEST(Gradients, ThreadsNeighboursAndTargetsChangeNoBitOfWideLevels) {
  NestConfig config = small_config();
  config.image_size = 28;
  config.patch_size = 7;
  config.num_layers_per_block = {1, 1};
  config.embed_dims = {96, 192};
  config.level_heads = {3, 6};
  config.attn_type = Attention::kMultiHead;
  expect_nothing_changes_a_bit(config);
}

// More images than a part takes at once, more targets than go down together; and the logits are
// those of the forward.
TEST(Gradients, LargeBatchesAndManyTargetsEqualSingleOnes) {
  NestConfig config = small_config();
  config.num_classes = 20;
  const int batch = 37;
  const GradientEngine engine(random_model(config, 3), 2);
  const auto images = random_images(config, batch, 4);
  const size_t image = images.size() / batch;
  std::vector<Floats> targets;
  for (size_t k = 0; k < 20; ++k) targets.push_back(one_hot(k, 20));
  const auto all = engine.run(images, batch, always({targets[19]}));
  const Floats logits = engine.logits(images, batch);
  for (int b = 0; b < batch; b += 9) {
    const auto one = engine.run(std::span(images).subspan(b * image, image), 1, always(targets));
    ASSERT_EQ(one[0].size(), 20u);
    expect_same_bits(one[0][19], all[b][0], "image " + std::to_string(b));
    EXPECT_THAT(one[0][0].logits, ::testing::ElementsAreArray(logits.data() + b * 20, 20));
    EXPECT_EQ(one[0][7].target, logits[b * 20 + 7]);
  }
}

// Asking for less changes no bit of what is left.
TEST(Gradients, DepthOfLevelsLeavesTheImageOut) {
  const NestConfig config = small_config();
  const GradientEngine engine(random_model(config, 3), 2);
  const auto image = random_images(config, 1, 4);
  const Targets target = always({one_hot(2, 5)});
  Gradients all = engine.run(image, 1, target, {.depth = Depth::kPixels})[0][0];
  const Gradients levels = engine.run(image, 1, target)[0][0];
  EXPECT_FALSE(all.levels[0].input.gradient.empty());
  EXPECT_FALSE(levels.levels[0].output.values.empty());
  EXPECT_FALSE(levels.levels[1].aggregated.gradient.empty());
  all.pixels = {};
  all.levels[0].input.gradient.clear();
  all.levels[0].output.gradient.clear();
  expect_same_bits(levels, all, "levels");
}

std::string error_of(const GradientEngine& engine, std::span<const float> images, int batch) {
  try {
    engine.run(images, batch, always({one_hot(0, 5)}));
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Gradients, WrongInputsAndNumbersAreErrors) {
  const NestConfig config = small_config();
  LoadedModel model = random_model(config, 3);
  auto images = random_images(config, 2, 4);
  {
    const GradientEngine engine(model, 2);
    EXPECT_THAT(error_of(engine, images, 1), ::testing::HasSubstr("[1, 3, 16, 16]"));
    EXPECT_THAT(error_of(engine, images, 0), ::testing::HasSubstr("0 images"));
    EXPECT_EQ(error_of(engine, images, 2), "no error");
    images[images.size() - 1] = NAN;
    EXPECT_THAT(error_of(engine, images, 2), ::testing::HasSubstr("logits are not finite"));
    images[images.size() - 1] = 0;
    EXPECT_EQ(error_of(engine, images, 2), "no error");
  }
  Floats weight = model.tensors.at("levels.1.pool.conv.weight").to_f32();
  weight[5] = NAN;
  model.tensors["levels.1.pool.conv.weight"] =
      Tensor::f32(model.tensors.at("levels.1.pool.conv.weight").shape(), weight);
  EXPECT_THAT(error_of(GradientEngine(model, 2), images, 2),
              ::testing::HasSubstr("logits are not finite"));
}

// Weights that are all 0 and values that are all the same: no NaN.
TEST(Gradients, OfNothingAreZero) {
  LoadedModel model = random_model(small_config(), 3);
  for (auto& [name, tensor] : model.tensors)
    tensor = Tensor::f32(tensor.shape(), Floats(tensor.size()));
  const GradientEngine engine(model, 1);
  for (const Propagation propagation : kBoth) {
    const Gradients got = engine.run(random_images(model.config, 1, 4), 1, always({one_hot(0, 5)}),
                                     {propagation, Depth::kPixels})[0][0];
    for (const Floats* array : {&got.pixels.gradient, &got.levels[1].input.gradient})
      EXPECT_THAT(*array, ::testing::Each(0.0f));
  }
}

}  // namespace
}  // namespace nestvit
