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
                     Propagation propagation) {
  for (uint64_t seed = 8; seed < 60; ++seed) {
    Floats image = random_images(model.config, 1, seed);
    reference->run(Doubles(image.begin(), image.end()), Doubles(target.begin(), target.end()),
                   propagation);
    if (reference->smallest_gap() > 1e-5) return image;
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

}  // namespace
}  // namespace nestvit
