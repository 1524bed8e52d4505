// The transforms against the official code and timm, the crop sampler's distribution, and the
// training steps.
#include "image/transform.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "image/resize.h"
#include "support/encoders.h"
#include "support/golden.h"
#include "support/near.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::golden_root;
using testing::gradient;
using testing::largest_difference;

constexpr double kTolerance = 1e-6;  // goldens README: preprocess/, augment/train_crop

// Files of the golden folder preprocess/ that start with `prefix`.
std::vector<fs::path> golden_files(const std::string& prefix) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(golden_root() / "preprocess"))
    if (entry.path().filename().string().starts_with(prefix) &&
        entry.path().extension() == ".safetensors")
      files.push_back(entry.path());
  if (files.empty()) throw std::runtime_error("no golden file " + prefix + "*");
  return files;
}

nlohmann::json golden_json(const fs::path& file) {
  return nlohmann::json::parse(read_text(golden_root() / file));
}

Sample sample_of(const std::string& name) {
  Sample sample;
  sample.encoded = read_file(testing::golden_image(name));
  sample.name = name;
  return sample;
}

Sample sample_of(Image image) {
  Sample sample;
  sample.image = std::move(image);
  sample.name = "raw";
  return sample;
}

// Largest difference between every `step`-th row of `pixels` / 255 and `expected` [H, W, C].
double unit_difference(const Pixels& pixels, std::span<const float> expected, int step = 1) {
  const size_t length = static_cast<size_t>(pixels.width) * pixels.channels;
  std::vector<double> rows;
  for (int y = 0; y < pixels.height; y += step)
    for (size_t i = 0; i < length; ++i) rows.push_back(pixels.values[y * length + i] / 255.0);
  return largest_difference(rows, expected);
}

// `chw` against `expected` [H, W, C].
double normalised_difference(const std::vector<float>& chw, std::span<const float> expected,
                             int channels) {
  const size_t count = chw.size() / channels;
  std::vector<float> hwc;
  for (size_t i = 0; i < chw.size(); ++i) hwc.push_back(chw[i % channels * count + i / channels]);
  return largest_difference(hwc, expected);
}

std::vector<float> normalised(const Pixels& pixels, const Preprocessing& p) {
  std::vector<float> chw(pixels.values.size());
  normalise(pixels, p, chw);
  return chw;
}

size_t different_levels(const Pixels& pixels, std::span<const uint8_t> expected) {
  EXPECT_EQ(pixels.values.size(), expected.size());
  size_t count = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    count += static_cast<uint8_t>(pixels.values[i]) != expected[i];
  return count;
}

TEST(TransformGolden, OfficialEvaluation) {
  const auto settings = golden_json("preprocess/eval_official.json");
  for (const fs::path& file : golden_files("eval_official_"))
    for (const auto& [key, tensor] : read_safetensors(file)) {
      SCOPED_TRACE(file.filename().string() + " " + key);
      const size_t slash = key.rfind('/');
      const std::string what = key.substr(slash + 1);
      Preprocessing p;
      p.image_size = static_cast<int>(tensor.dim(1));
      p.mean = settings.at("mean").get<std::vector<double>>();
      p.std = settings.at("std").get<std::vector<double>>();
      const Pixels pixels = evaluation_pixels(sample_of(key.substr(0, slash)), p);
      if (what == "normalised") {
        EXPECT_LE(normalised_difference(normalised(pixels, p), tensor.as<float>(), 3), kTolerance);
      } else if (what == "times_255_truncated") {
        EXPECT_EQ(different_levels(pixels, tensor.as<uint8_t>()), 0u);
      } else {
        ASSERT_EQ(what.substr(0, 4), "unit");
        const int step = static_cast<int>(tensor.dim(1) / tensor.dim(0));
        EXPECT_LE(unit_difference(pixels, tensor.as<float>(), step), kTolerance);
      }
    }
}

TEST(TransformGolden, OfficialEvaluationOfCifar) {
  // Normalisation: reference.md D.7.
  const std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> statistics = {
      {"cifar10", {{.4914, .4822, .4465}, {.2471, .2435, .2616}}},
      {"cifar100", {{.5071, .4867, .4408}, {.2675, .2565, .2761}}}};
  const auto tensors = read_safetensors(golden_root() / "preprocess" / "eval_cifar.safetensors");
  const Tensor& input = find_tensor(tensors, "input", "eval_cifar");
  const auto bytes = input.as<uint8_t>();
  const Image image{static_cast<int>(input.dim(0)),
                    static_cast<int>(input.dim(1)),
                    3,
                    {bytes.begin(), bytes.end()}};
  size_t compared = 0;
  for (const auto& [key, tensor] : tensors) {
    if (key == "input") continue;
    SCOPED_TRACE(key);
    Preprocessing p;
    p.image_size = static_cast<int>(tensor.dim(0));
    std::tie(p.mean, p.std) = statistics.at(key.substr(0, key.find('/')));
    const bool own_size = p.image_size == image.height;
    p.crop_pct = own_size ? 1.0 : 0.875;
    const Pixels pixels =
        evaluation_pixels(sample_of(own_size ? image : enlarge_small(image, p.image_size)), p);
    EXPECT_LE(normalised_difference(normalised(pixels, p), tensor.as<float>(), 3), kTolerance);
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

// "center_bicubic_pct90" and the like.
Preprocessing timm_settings(const std::string& words, int size, double crop_pct) {
  Preprocessing p = preprocessing_mode("timm", size);
  p.crop_pct = crop_pct;
  std::stringstream stream(words);
  for (std::string word; std::getline(stream, word, '_');) {
    if (word == "center") p.crop_mode = CropMode::kCenter;
    if (word == "squash") p.crop_mode = CropMode::kSquash;
    if (word == "border") p.crop_mode = CropMode::kBorder;
    if (word == "bilinear") p.interpolation = Interpolation::kBilinear;
    if (word == "bicubic") p.interpolation = Interpolation::kBicubic;
    if (word.starts_with("pct")) p.crop_pct = std::stoi(word.substr(3)) / 100.0;
  }
  return p;
}

TEST(TransformGolden, TimmEvaluation) {
  const double crop_pct = golden_json("preprocess/eval_timm.json").at("crop_pct");
  for (const fs::path& file : golden_files("eval_timm_"))
    for (const auto& [key, tensor] : read_safetensors(file)) {
      SCOPED_TRACE(file.filename().string() + " " + key);
      const size_t slash = key.rfind('/');
      const Preprocessing p =
          timm_settings(key.substr(slash + 1), static_cast<int>(tensor.dim(1)), crop_pct);
      const Pixels pixels = evaluation_pixels(sample_of(key.substr(0, slash)), p);
      if (tensor.dtype() == DType::kU8) {
        EXPECT_EQ(different_levels(pixels, tensor.as<uint8_t>()), 0u);
      } else {
        EXPECT_LE(largest_difference(normalised(pixels, p), tensor.as<float>()), kTolerance);
      }
    }
}

TEST(Evaluation, ExtremeShapesAndCropsBeyondTheImageWork) {
  for (auto [height, width] : {std::pair{1, 3000}, {3000, 1}, {1, 1}, {5, 7}})
    for (auto resampler : {Resampler::kTf, Resampler::kPil})
      for (auto mode : {CropMode::kCenter, CropMode::kSquash, CropMode::kBorder})
        for (double crop_pct : {0.5, 0.875, 1.0, 1.7}) {
          Preprocessing p;
          p.image_size = 33;
          p.resampler = resampler;
          p.crop_mode = resampler == Resampler::kTf ? CropMode::kCenter : mode;
          p.crop_pct = crop_pct;
          const Pixels pixels = evaluation_pixels(sample_of(gradient(height, width)), p);
          EXPECT_EQ(pixels.values.size(), 33u * 33 * 3);
        }
}

TEST(Evaluation, ACropBeyondTheImageIsCentredOnBlack) {
  for (auto resampler : {Resampler::kTf, Resampler::kPil}) {
    Preprocessing p;
    p.image_size = 20;
    p.resampler = resampler;
    p.crop_pct = 2.0;  // resized to 10
    const Image white{10, 10, 3, std::vector<uint8_t>(300, 255)};
    const Pixels pixels = evaluation_pixels(sample_of(white), p);
    for (int y = 0; y < 20; ++y)
      for (int x = 0; x < 20; ++x) {
        const bool in = y >= 5 && y < 15 && x >= 5 && x < 15;
        EXPECT_EQ(pixels.values[(y * 20 + x) * 3], in ? 255 : 0);
      }
  }
}

TEST(Evaluation, GreyModelsGetLuma) {
  Preprocessing p;
  p.channels = 1;
  p.image_size = 8;
  p.crop_pct = 1.0;
  p.mean = {0.5};
  p.std = {0.25};
  const Image image = gradient(8, 8);
  const Pixels pixels = evaluation_pixels(sample_of(image), p);
  EXPECT_EQ(pixels.values, to_pixels(to_channels(image, 1)).values);
  EXPECT_FLOAT_EQ(normalised(pixels, p)[9], (pixels.values[9] / 255 - 0.5f) / 0.25f);
}

TEST(Evaluation, WrongSettingsAreUsageErrors) {
  const Sample sample = sample_of(gradient(8, 8));
  for (auto change : std::vector<void (*)(Preprocessing&)>{
           [](Preprocessing& p) { p.image_size = 0; }, [](Preprocessing& p) { p.crop_pct = 0; },
           [](Preprocessing& p) { p.crop_pct = NAN; }, [](Preprocessing& p) { p.channels = 4; }}) {
    Preprocessing p;
    change(p);
    EXPECT_THROW(evaluation_pixels(sample, p), UsageError);
  }
  Preprocessing p;
  p.mean = {0.5};
  EXPECT_THROW(normalised(evaluation_pixels(sample, p), p), UsageError);
  EXPECT_THROW(evaluation_pixels(Sample{}, Preprocessing{}), Error);
}

TEST(TransformGolden, TrainingCrop) {
  const auto meta = golden_json("augment/train_crop.json");
  const auto tensors = read_safetensors(golden_root() / "augment" / "train_crop.safetensors");
  const int size = meta.at("size");
  DecodeOptions options;
  options.dct = Dct::kFast;
  ASSERT_FALSE(meta.at("runs").empty());
  for (const auto& run : meta.at("runs")) {
    const std::string name = run.at("image");
    SCOPED_TRACE(name);
    const Box box{run.at("top"), run.at("left"), run.at("height"), run.at("width")};
    const Image part = decode_window(sample_of(name).encoded, box, options, name);
    Pixels pixels = resize_tf(part, {size, size, {0, 0, size, size}});
    if (run.at("flipped")) pixels = flip_horizontal(pixels);
    const std::string key = std::to_string(run.at("run").get<int>()) + "/out";
    EXPECT_LE(unit_difference(pixels, find_tensor(tensors, key, "train_crop").as<float>()),
              kTolerance);
  }
}

// Both sides are samples: the quantiles of the reference must lie where ours put them, up to the
// Dvoretzky-Kiefer-Wolfowitz bound (each empirical distribution is off by more with probability
// 1e-6).
TEST(TransformGolden, CropSamplerHasTheReferencesDistribution) {
  const auto golden = golden_json("augment/train_crop.json").at("distribution");
  const int height = golden.at("image_hw")[0], width = golden.at("image_hw")[1];
  constexpr int kSamples = 60'000;
  std::map<std::string, std::vector<double>> values;
  for (int i = 0; i < kSamples; ++i) {
    Rng rng(1, Purpose::kTest, 0, static_cast<uint64_t>(i));
    const Box box = sample_crop(height, width, rng);
    ASSERT_TRUE(box.y >= 0 && box.x >= 0 && box.y + box.height <= height &&
                box.x + box.width <= width);
    values["height"].push_back(box.height);
    values["width"].push_back(box.width);
    values["area"].push_back(static_cast<double>(box.height) * box.width / (height * width));
    values["aspect_w_over_h"].push_back(static_cast<double>(box.width) / box.height);
    values["top"].push_back(box.y);
    values["left"].push_back(box.x);
  }
  const double their_samples = golden.at("samples");
  const auto bound = [](double n) { return std::sqrt(std::log(2 / 1e-6) / (2 * n)); };
  const double slack = bound(kSamples) + bound(their_samples);
  for (auto& [name, list] : values) {
    SCOPED_TRACE(name);
    double sum = 0, squares = 0;
    for (double v : list) sum += v, squares += v * v;
    const double mean = sum / kSamples;
    const double deviation = std::sqrt(squares / kSamples - mean * mean);
    const double error = deviation * std::sqrt(1.0 / kSamples + 1.0 / their_samples);
    EXPECT_NEAR(mean, golden.at(name).at("mean").get<double>(), 5 * error);
    if (!golden.at(name).contains("quantile_values")) continue;
    std::sort(list.begin(), list.end());
    const auto quantiles = golden.at("quantiles").get<std::vector<double>>();
    const auto theirs = golden.at(name).at("quantile_values").get<std::vector<double>>();
    ASSERT_EQ(quantiles.size(), theirs.size());
    for (size_t i = 0; i < quantiles.size(); ++i) {
      const double v = theirs[i], e = 1e-9 * std::abs(v);  // the reference divides in another order
      const auto below = std::lower_bound(list.begin(), list.end(), v - e) - list.begin();
      const auto upto = std::upper_bound(list.begin(), list.end(), v + e) - list.begin();
      EXPECT_LE(static_cast<double>(below) / kSamples, quantiles[i] + slack);
      EXPECT_GE(static_cast<double>(upto) / kSamples, quantiles[i] - slack);
    }
  }
}

TEST(SampleCrop, SmallAndThinImagesGiveBoxesInside) {
  for (auto [height, width] :
       {std::pair{1, 1}, {1, 1000}, {1000, 1}, {2, 2}, {3, 5}, {20000, 8000}})
    for (uint64_t i = 0; i < 200; ++i) {
      Rng rng(2, Purpose::kTest, 0, i);
      const Box box = sample_crop(height, width, rng);
      EXPECT_TRUE(box.y >= 0 && box.x >= 0 && box.height >= 1 && box.width >= 1 &&
                  box.y + box.height <= height && box.x + box.width <= width);
    }
}

Preprocessing small_settings(int size) {
  Preprocessing p;
  p.image_size = size;
  p.crop_pct = 1.0;
  return p;
}

TEST(Training, CropIsTheSampledBoxResizedAndFlipped) {
  const Image image = gradient(40, 50);
  const Sample encoded = [&] {
    Sample sample;
    sample.encoded = encode_png(image);
    return sample;
  }();
  std::set<bool> flips;
  for (uint64_t i = 0; i < 20; ++i) {
    Rng rng(3, Purpose::kTest, 0, i), again(3, Purpose::kTest, 0, i),
        encoded_rng(3, Purpose::kTest, 0, i);
    const Preprocessing p = small_settings(16);
    const Pixels pixels = training_pixels(sample_of(image), p, TrainTransform::kCrop, rng);
    const Box box = sample_crop(40, 50, again);
    Pixels expected = resize_tf(crop(image, box), {16, 16, {0, 0, 16, 16}});
    const bool flipped = expected.values != pixels.values;
    flips.insert(flipped);
    if (flipped) expected = flip_horizontal(expected);
    EXPECT_EQ(pixels.values, expected.values);
    EXPECT_EQ(training_pixels(encoded, p, TrainTransform::kCrop, encoded_rng).values,
              pixels.values);
  }
  EXPECT_EQ(flips.size(), 2u);
}

TEST(Training, CropTurnsAPictureBeforeCropping) {
  const Image image = gradient(40, 50);
  Sample turned;
  turned.encoded = testing::with_exif(encode_png(image), 6, true);
  Preprocessing p = small_settings(16);
  p.exif_orientation = true;
  const Image upright = decode_image(turned.encoded, decode_options(p), "test");
  ASSERT_EQ(upright.height, 50);
  Rng rng(4, Purpose::kTest), again(4, Purpose::kTest);
  EXPECT_EQ(training_pixels(turned, p, TrainTransform::kCrop, rng).values,
            training_pixels(sample_of(upright), p, TrainTransform::kCrop, again).values);
}

TEST(Training, PadShiftsByUpToTwoOverBlack) {
  const int size = 12;
  Image image = gradient(size, size);
  for (auto& v : image.pixels) v = static_cast<uint8_t>(v / 2 + 1);  // no black of its own
  std::set<std::tuple<int, int, bool>> seen;
  for (uint64_t i = 0; i < 600; ++i) {
    Rng rng(5, Purpose::kTest, 0, i);
    const Pixels pixels =
        training_pixels(sample_of(image), small_settings(size), TrainTransform::kPad, rng);
    for (int dy = -2; dy <= 2; ++dy)
      for (int dx = -2; dx <= 2; ++dx) {
        Pixels expected{size, size, 3, {}};
        for (int y = 0; y < size; ++y)
          for (int x = 0; x < size; ++x)
            for (int c = 0; c < 3; ++c) {
              const int v = y + dy, u = x + dx;
              const bool in = v >= 0 && v < size && u >= 0 && u < size;
              expected.values.push_back(in ? image.pixels[(v * size + u) * 3 + c] : 0);
            }
        if (pixels.values == expected.values) seen.insert({dy, dx, false});
        if (pixels.values == flip_horizontal(expected).values) seen.insert({dy, dx, true});
      }
  }
  EXPECT_EQ(seen.size(), 50u);  // 5 x 5 offsets, both directions
}

TEST(Training, FlipAndNoneAreTheEvaluationAndItsMirrorImage) {
  const Sample sample = sample_of(gradient(30, 20));
  const Preprocessing p = small_settings(16);
  const Pixels plain = evaluation_pixels(sample, p);
  int flipped = 0;
  for (uint64_t i = 0; i < 64; ++i) {
    Rng rng(6, Purpose::kTest, 0, i);
    const Pixels pixels = training_pixels(sample, p, TrainTransform::kFlip, rng);
    const bool mirror = pixels.values == flip_horizontal(plain).values;
    EXPECT_TRUE(mirror || pixels.values == plain.values);
    flipped += mirror;
    EXPECT_EQ(training_pixels(sample, p, TrainTransform::kNone, rng).values, plain.values);
  }
  EXPECT_NEAR(flipped, 32, 5 * 4);  // five standard deviations of 64 coins
}

// timm's crop: 8 to 100 % of the area, sides up to 4/3 apart, up to rounding to whole pixels.
TEST(TimmCrop, BoxesHaveTimmsAreasAndAspects) {
  constexpr int kHeight = 120, kWidth = 160, kSamples = 4000;
  double least = 1, most = 0, sum = 0;
  int attempts_used_up = 0;
  for (uint64_t i = 0; i < kSamples; ++i) {
    Rng rng(3, Purpose::kTransform, 0, i);
    const Box box = sample_timm_crop(kHeight, kWidth, rng);
    ASSERT_TRUE(box.y >= 0 && box.x >= 0 && box.y + box.height <= kHeight &&
                box.x + box.width <= kWidth);
    const double h = box.height, w = box.width;
    EXPECT_GE((w + 0.5) / (h - 0.5), 3.0 / 4);
    EXPECT_LE((w - 0.5) / (h + 0.5), 4.0 / 3);
    const double area = h * w / (kHeight * kWidth);
    least = std::min(least, area);
    most = std::max(most, area);
    sum += area;
    attempts_used_up += box.height == kHeight && box.width == kWidth;
  }
  EXPECT_NEAR(least, 0.08, 0.01);
  EXPECT_GT(most, 0.95);
  // Half of [0.08, 1] is 0.54; large boxes that do not fit are drawn again, smaller.
  EXPECT_GT(sum / kSamples, 0.35);
  EXPECT_LT(sum / kSamples, 0.54);
  EXPECT_LT(attempts_used_up, kSamples / 20);
}

TEST(TimmCrop, ImagesThatNothingFitsAreCutAboutTheCentre) {
  Rng rng(3, Purpose::kTransform);
  const Box wide = sample_timm_crop(3, 3000, rng), tall = sample_timm_crop(3000, 3, rng);
  EXPECT_EQ(wide.height, 3);
  EXPECT_EQ(wide.width, 4);
  EXPECT_EQ(wide.x, 1498);
  EXPECT_EQ(tall.height, 4);
  EXPECT_EQ(tall.width, 3);
  EXPECT_EQ(tall.y, 1498);
  const Box dot = sample_timm_crop(1, 1, rng);
  EXPECT_TRUE(dot.height == 1 && dot.width == 1);
}

}  // namespace
}  // namespace nestvit
