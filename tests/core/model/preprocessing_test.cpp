// The two named preprocessings, normalisation by data set, and the field list; reference.md D.
#include "model/preprocessing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using testing::expect_error;

TEST(Preprocessing, JaxIsTheOfficialEvaluation) {
  const Preprocessing p = preprocessing_mode("jax", 224);
  EXPECT_EQ(p.image_size, 224);
  EXPECT_EQ(p.resampler, Resampler::kTf);
  EXPECT_EQ(p.interpolation, Interpolation::kBilinear);
  EXPECT_EQ(p.dct, Dct::kFast);
  EXPECT_EQ(p.crop_pct, 0.875);
  EXPECT_THAT(p.mean, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_THAT(p.std, ElementsAre(0.229, 0.224, 0.225));
  EXPECT_FALSE(p.exif_orientation);
}

TEST(Preprocessing, TimmResizesAndDecodesWithPillow) {
  const Preprocessing p = preprocessing_mode("timm", 96);
  EXPECT_EQ(p.image_size, 96);
  EXPECT_EQ(p.resampler, Resampler::kPil);
  EXPECT_EQ(p.interpolation, Interpolation::kBicubic);
  EXPECT_EQ(p.dct, Dct::kAccurate);
  EXPECT_THAT(p.mean, ElementsAre(0.485, 0.456, 0.406));
}

TEST(Preprocessing, OtherChannelsAreCentred) {
  for (const char* mode : {"jax", "timm"}) {
    const Preprocessing p = preprocessing_mode(mode, 28, 1);
    EXPECT_EQ(p.channels, 1);
    EXPECT_THAT(p.mean, ElementsAre(0.5)) << mode;
    EXPECT_THAT(p.std, ElementsAre(0.5)) << mode;
  }
  expect_error<UsageError>([] { preprocessing_mode("tf", 28); }, {"tf", "jax", "timm"});
}

TEST(Preprocessing, NormalisationOfEachDataSet) {
  Preprocessing p;
  set_normalisation(p, "cifar10");
  EXPECT_THAT(p.mean, ElementsAre(.4914, .4822, .4465));
  EXPECT_THAT(p.std, ElementsAre(.2471, .2435, .2616));
  set_normalisation(p, "cifar100");
  EXPECT_THAT(p.mean, ElementsAre(.5071, .4867, .4408));
  set_normalisation(p, "my photos");
  EXPECT_THAT(p.mean, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_THAT(p.std, ElementsAre(0.229, 0.224, 0.225));
  p.channels = 1;
  set_normalisation(p, "cifar10");
  EXPECT_THAT(p.mean, ElementsAre(DoubleEq((.4914 + .4822 + .4465) / 3)));
  EXPECT_THAT(p.std, ElementsAre(DoubleEq((.2471 + .2435 + .2616) / 3)));
}

TEST(Preprocessing, EveryFieldComesBack) {
  Preprocessing p;
  p.image_size = 7;
  p.channels = 1;
  p.resampler = Resampler::kPil;
  p.interpolation = Interpolation::kBicubic;
  p.crop_pct = 0.9;
  p.crop_mode = CropMode::kBorder;
  p.mean = {1.0 / 7};
  p.std = {0.3};
  p.dct = Dct::kAccurate;
  p.exif_orientation = true;
  p.background = {17, 34, 51};
  Preprocessing copy;
  fields(copy).load_yaml_text(fields(p).to_yaml(), "copy");
  EXPECT_EQ(copy, p);
}

TEST(Preprocessing, BackgroundsAreColours) {
  Preprocessing p;
  const auto background = [&](const std::string& text) {
    fields(p).set("background", text);
    return p.background;
  };
  using Colour = std::array<uint8_t, 3>;
  EXPECT_EQ(background("white"), (Colour{255, 255, 255}));
  EXPECT_EQ(background("black"), (Colour{0, 0, 0}));
  EXPECT_EQ(background("\"0080ff\""), (Colour{0, 128, 255}));
  EXPECT_EQ(background("\"#0080ff\""), (Colour{0, 128, 255}));
  EXPECT_EQ(background("drop"), std::nullopt);
  for (const char* wrong : {"red", "\"12345\"", "\"1234567\"", "\"00zz00\"", "\"-12345\""})
    expect_error<UsageError>([&] { background(wrong); }, {"colour"});
}

}  // namespace
}  // namespace nestvit
