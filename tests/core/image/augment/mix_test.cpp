// Mixup and cutmix against the official code, replayed from its draws, and what every style keeps.
#include "image/augment/mix.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "core/image/augment/augment_goldens.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;

constexpr double kTolerance = 1e-6;  // goldens README: batch_and_erase

template <class T>
std::vector<T> values(const AugmentGoldens& goldens, const std::string& key) {
  const auto span = goldens.at(key).as<T>();
  return {span.begin(), span.end()};
}

void replay(const AugmentGoldens& goldens, const std::string& name, const MixDraws& draws,
            const MixSettings& settings) {
  const Tensor& in = goldens.at("batch/images");  // [B, H, W, C]
  const Tensor& one_hot_labels = goldens.at("batch/one_hot");
  const MixShape shape{static_cast<int>(in.dim(0)), static_cast<int>(in.dim(3)),
                       static_cast<int>(in.dim(1)), static_cast<int>(in.dim(2)),
                       static_cast<int>(one_hot_labels.dim(1))};
  const auto nchw = [&](const Tensor& t) {
    return testing::planar(t.as<float>(), shape.batch, shape.channels);
  };
  auto images = nchw(in);
  auto labels = one_hot_labels.to_f32();
  apply_mix(plan_mix(settings, draws, shape.height, shape.width), shape, images, labels);
  EXPECT_LE(testing::largest_difference(images, nchw(goldens.at(name + "/images"))), kTolerance);
  EXPECT_LE(testing::largest_difference(labels, goldens.at(name + "/labels").as<float>()),
            kTolerance);
}

TEST(MixGolden, MixupAndCutmixReplay) {
  const AugmentGoldens goldens("batch_and_erase");
  size_t mixups = 0, cutmixes = 0;
  for (const auto& [name, meta] : goldens.meta.items()) {
    SCOPED_TRACE(name);
    MixSettings settings;
    MixDraws draws;
    if (name.starts_with("mixup/")) {
      draws.kind = MixKind::kMixup;
      settings.mixup_alpha = meta.at("beta");
      draws.partner = values<int32_t>(goldens, name + "/partner");
      ++mixups;
    } else if (name.starts_with("cutmix/")) {
      draws.kind = MixKind::kCutmix;
      settings.cutmix_alpha = meta.at("beta");
      draws.y_shift = values<int64_t>(goldens, name + "/y_shift_raw");
      draws.x_shift = values<int64_t>(goldens, name + "/x_shift_raw");
      ++cutmixes;
    } else {
      continue;
    }
    settings.smoothing = meta.at("smoothing");
    draws.u = values<float>(goldens, name + "/u");
    replay(goldens, name, draws, settings);
  }
  EXPECT_GT(mixups, 0u);
  EXPECT_GT(cutmixes, 0u);
}

// B samples whose pixels all hold the sample's number, labelled by it.
Batch numbered(int size, int height, int width) {
  Batch batch;
  batch.size = size;
  batch.channels = 3;
  batch.height = height;
  batch.width = width;
  for (int b = 0; b < size; ++b) {
    batch.images.insert(batch.images.end(), static_cast<size_t>(3) * height * width,
                        static_cast<float>(b));
    batch.labels.push_back(b);
    batch.indices.push_back(b);
  }
  return batch;
}

std::vector<MixSettings> styles() {
  MixSettings reference, beta, areas, timm;
  beta.beta = true;
  areas.area_labels = true;
  timm.style = MixStyle::kTimm;
  return {reference, beta, areas, timm};
}

TEST(Mix, LabelsAreDistributionsAndPixelsComeFromTheBatch) {
  for (MixSettings settings : styles())
    for (double smoothing : {0.0, 0.1})
      for (auto [size, height, width] :
           {std::tuple{1, 4, 4}, {5, 6, 9}, {8, 1, 1}, {2, 1, 7}, {3, 7, 1}})
        for (uint64_t i = 0; i < 40; ++i) {
          settings.smoothing = smoothing;
          check(settings);
          Batch batch = numbered(size, height, width), again = batch;
          Rng a(1, Purpose::kMix, 0, i), b(1, Purpose::kMix, 0, i);
          const auto labels = mix(batch, size + 1, settings, a);
          EXPECT_EQ(labels, mix(again, size + 1, settings, b));
          EXPECT_EQ(batch.images, again.images);
          for (float v : batch.images)
            EXPECT_TRUE(v >= 0 && v <= static_cast<float>(size - 1) * 1.000001f);
          for (int s = 0; s < size; ++s) {
            double sum = 0;
            for (int k = 0; k <= size; ++k) sum += labels[s * (size + 1) + k];
            EXPECT_NEAR(sum, 1, 1e-5);
          }
        }
}

TEST(Mix, BothKindsComeEquallyOftenUnlessOneIsOff) {
  constexpr int kDraws = 4000;
  for (auto [mixup, cutmix, expected] :
       {std::tuple{0.8, 1.0, 0.5}, {0.8, 0.0, 1.0}, {0.0, 1.0, 0.0}}) {
    MixSettings settings;
    settings.mixup_alpha = mixup;
    settings.cutmix_alpha = cutmix;
    double mixups = 0;
    for (uint64_t i = 0; i < kDraws; ++i) {
      Rng rng(2, Purpose::kMix, 0, i);
      const MixDraws draws = draw_mix(settings, 4, 8, 8, rng);
      ASSERT_NE(draws.kind, MixKind::kNone);
      mixups += draws.kind == MixKind::kMixup;
    }
    EXPECT_NEAR(mixups / kDraws, expected, 5 * std::sqrt(expected * (1 - expected) / kDraws));
  }
}

TEST(Mix, WithoutMixingLabelsStayAsTheStyleSays) {
  for (MixSettings settings : styles()) {
    settings.prob_to_apply = 0;
    settings.smoothing = 0.2;
    Batch batch = numbered(3, 2, 2);
    const auto before = batch.images;
    Rng rng(3, Purpose::kMix);
    auto labels = mix(batch, 4, settings, rng);
    EXPECT_EQ(batch.images, before);
    const bool smoothed = settings.style == MixStyle::kTimm;
    EXPECT_FLOAT_EQ(labels[0], smoothed ? 0.85f : 1.0f);
    EXPECT_FLOAT_EQ(labels[1], smoothed ? 0.05f : 0.0f);
  }
}

// reference.md E.4: mean lambda .778 at alpha .8; a cutmixed sample's own label weighs at most 1/2.
TEST(Mix, SmoothingSharesEpsilonAmongAllClasses) {
  std::vector<float> rows = one_hot(std::vector<int>{2, 0}, 4);
  smooth(rows, 4, 0);
  EXPECT_EQ(rows, (std::vector<float>{0, 0, 1, 0, 1, 0, 0, 0}));
  smooth(rows, 4, 0.1);
  const std::vector<float> expected = {0.025F, 0.025F, 0.925F, 0.025F,
                                       0.925F, 0.025F, 0.025F, 0.025F};
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(rows[i], expected[i], 1e-7) << i;
}

TEST(Mix, TheReferencesShares) {
  MixSettings settings;
  constexpr int kDraws = 500, kBatch = 40;
  double sum = 0, squares = 0, count = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    Rng rng(4, Purpose::kMix, 0, i);
    const MixPlan plan = plan_mix(settings, kBatch, 32, 32, rng);
    for (float own : plan.own) {
      if (plan.kind == MixKind::kMixup) {
        EXPECT_GE(own, 0.5f);
        sum += own;
        squares += static_cast<double>(own) * own;
        ++count;
      } else {
        EXPECT_LE(own, 0.5f);
      }
    }
  }
  const double mean = sum / count, deviation = std::sqrt(squares / count - mean * mean);
  EXPECT_NEAR(mean, 0.778, 0.0005 + 5 * deviation / std::sqrt(count));
}

TEST(Mix, BetaSharesHaveBetasMoments) {
  for (double alpha : {0.2, 0.8, 1.0, 4.0}) {
    MixSettings settings;
    settings.beta = true;
    settings.mixup_alpha = alpha;
    settings.cutmix_alpha = 0;
    double sum = 0, squares = 0, count = 0;
    for (uint64_t i = 0; i < 500; ++i) {
      Rng rng(5, Purpose::kMix, 0, i);
      for (float own : plan_mix(settings, 40, 8, 8, rng).own)
        sum += own, squares += static_cast<double>(own) * own, ++count;
    }
    const double mean = sum / count, variance = squares / count - mean * mean;
    const double expected = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(expected / count));
    // The variance of a squared distance of at most 1/2 is below its mean / 4.
    EXPECT_NEAR(variance, expected, 5 * std::sqrt(expected / 4 / count));
  }
}

TEST(Mix, AreaLabelsWeighWhatIsThere) {
  for (MixStyle style : {MixStyle::kReference, MixStyle::kTimm}) {
    MixSettings settings;
    settings.style = style;
    settings.area_labels = true;
    settings.mixup_alpha = 0;
    for (uint64_t i = 0; i < 50; ++i) {
      Batch batch = numbered(2, 9, 13);
      Rng rng(6, Purpose::kMix, 0, i);
      const auto labels = mix(batch, 2, settings, rng);
      const size_t pixels = batch.images.size() / 2;
      const auto own = std::count(batch.images.begin(), batch.images.begin() + pixels, 0.0f);
      EXPECT_NEAR(labels[0], static_cast<double>(own) / static_cast<double>(pixels), 1e-6);
    }
  }
}

TEST(Mix, SettingsThatMakeNoSenseAreUsageErrors) {
  check(MixSettings{});
  MixSettings none;
  none.mixup_alpha = none.cutmix_alpha = none.prob_to_apply = 0;
  check(none);
  for (auto change : std::vector<void (*)(MixSettings&)>{
           [](MixSettings& s) { s.mixup_alpha = s.cutmix_alpha = 0; },
           [](MixSettings& s) { s.mixup_alpha = -1; }, [](MixSettings& s) { s.cutmix_alpha = NAN; },
           [](MixSettings& s) { s.prob_to_apply = 2; }, [](MixSettings& s) { s.smoothing = 1; },
           [](MixSettings& s) { s.smoothing = -0.1; }}) {
    MixSettings settings;
    change(settings);
    EXPECT_THROW(check(settings), UsageError);
  }
}

TEST(Mix, LabelsOutsideOfTheClassesAreErrors) {
  EXPECT_THROW(one_hot(std::vector<int>{-1}, 3), Error);
  EXPECT_THROW(one_hot(std::vector<int>{0, 3}, 3), Error);
}

}  // namespace
}  // namespace nestvit
