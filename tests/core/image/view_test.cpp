// Where the input lies on the original image: by hand, and by a marker that is painted on the
// original and found on the input.
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "image/transform.h"
#include "support/encoders.h"
#include "support/golden.h"

namespace nestvit {
namespace {

Preprocessing settings(Resampler resampler, CropMode mode, double crop_pct, int size = 64) {
  Preprocessing p;
  p.image_size = size;
  p.resampler = resampler;
  p.crop_mode = mode;
  p.crop_pct = crop_pct;
  return p;
}

// [begin, end) along one axis.
struct Range {
  double begin = 0, end = 0;
};

Image painted(int height, int width, Range rows, Range columns) {
  Image image{height, width, 3, {}};
  image.pixels.assign(image.size(), 0);
  for (int y = static_cast<int>(rows.begin); y < static_cast<int>(rows.end); ++y)
    for (int x = static_cast<int>(columns.begin); x < static_cast<int>(columns.end); ++x)
      std::fill_n(&image.pixels[(static_cast<size_t>(y) * width + x) * 3], 3, uint8_t{255});
  return image;
}

// The rows and columns of what is brighter than half; empty ranges where nothing is.
std::pair<Range, Range> bright_part(const Pixels& pixels) {
  Range rows{1e9, 0}, columns{1e9, 0};
  for (int y = 0; y < pixels.height; ++y)
    for (int x = 0; x < pixels.width; ++x)
      if (pixels.values[(static_cast<size_t>(y) * pixels.width + x) * 3 + 1] > 127.5f) {
        rows = {std::min<double>(rows.begin, y), std::max<double>(rows.end, y + 1)};
        columns = {std::min<double>(columns.begin, x), std::max<double>(columns.end, x + 1)};
      }
  return {rows, columns};
}

Range on_input(Range original, double scale, double shift, int size) {
  const auto at = [&](double v) { return std::clamp((v - shift) / scale, 0.0, size * 1.0); };
  return {at(original.begin), at(original.end)};
}

// A pixel of the input is bright where its centre lies on the marker: resizing a step crosses the
// half at the step's edge. Pillow's weights are not quite symmetric about it.
constexpr double kHalfPixel = 0.55;

void expect_marker_found(const Pixels& pixels, const View& view, Range rows, Range columns) {
  const auto [found_rows, found_columns] = bright_part(pixels);
  const Range mapped_rows = on_input(rows, view.scale_y, view.shift_y, pixels.height);
  const Range mapped_columns = on_input(columns, view.scale_x, view.shift_x, pixels.width);
  EXPECT_NEAR(found_rows.begin, mapped_rows.begin, kHalfPixel);
  EXPECT_NEAR(found_rows.end, mapped_rows.end, kHalfPixel);
  EXPECT_NEAR(found_columns.begin, mapped_columns.begin, kHalfPixel);
  EXPECT_NEAR(found_columns.end, mapped_columns.end, kHalfPixel);
}

std::vector<Preprocessing> all_settings() {
  std::vector<Preprocessing> all;
  for (const double crop_pct : {0.5, 0.875, 0.9, 1.0, 1.7}) {
    all.push_back(settings(Resampler::kTf, CropMode::kCenter, crop_pct));
    for (const auto mode : {CropMode::kCenter, CropMode::kSquash, CropMode::kBorder})
      for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
        all.push_back(settings(Resampler::kPil, mode, crop_pct));
        all.back().interpolation = interpolation;
        all.back().mean = {0, 0, 0};  // a border that is dark
      }
  }
  return all;
}

std::string named(const Preprocessing& p) {
  return ::testing::PrintToString(std::tuple(p.resampler == Resampler::kTf ? "tf" : "pil",
                                             static_cast<int>(p.crop_mode), p.crop_pct,
                                             static_cast<int>(p.interpolation)));
}

// By the arithmetic of the official code: 256/375 of 500 columns are 341, and 58 go on the left.
TEST(EvaluationView, OfShrunkPhotoIsWhatTheOfficialSizesGive) {
  const View view =
      evaluation_view(375, 500, settings(Resampler::kTf, CropMode::kCenter, 0.875, 224));
  EXPECT_DOUBLE_EQ(view.scale_y, 375.0 / 256);
  EXPECT_DOUBLE_EQ(view.scale_x, 500.0 / 341);
  EXPECT_DOUBLE_EQ(view.shift_y, 16 * 375.0 / 256);
  EXPECT_DOUBLE_EQ(view.shift_x, 58 * 500.0 / 341);
}

// timm: floor(224 / 0.9) = 248 is the shorter side, int(248 * 500 / 375) = 330 the longer; offsets
// round half to even.
TEST(EvaluationView, OfTimmsCentreCrop) {
  const View view =
      evaluation_view(500, 375, settings(Resampler::kPil, CropMode::kCenter, 0.9, 224));
  EXPECT_DOUBLE_EQ(view.scale_y, 500.0 / 330);
  EXPECT_DOUBLE_EQ(view.scale_x, 375.0 / 248);
  EXPECT_DOUBLE_EQ(view.shift_y, 53 * 500.0 / 330);
  EXPECT_DOUBLE_EQ(view.shift_x, 12 * 375.0 / 248);
}

TEST(EvaluationView, BorderModeStartsOutsideTheImage) {
  // 100 x 50 fits into 64 x 32: 16 columns of border on the left.
  const View view = evaluation_view(100, 50, settings(Resampler::kPil, CropMode::kBorder, 1.0));
  EXPECT_DOUBLE_EQ(view.scale_x, 50.0 / 32);
  EXPECT_DOUBLE_EQ(view.shift_x, -16 * 50.0 / 32);
  EXPECT_DOUBLE_EQ(view.shift_y, 0);
}

// Sizes and offsets that the official code, torchvision and timm pass on
// (tools/goldens/explain_view.py).
TEST(EvaluationViewGolden, EqualsTheRectanglesOfOtherPrograms) {
  const auto file = testing::golden_root_with("explain/view.json") / "explain/view.json";
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << file << " does not exist: there is nothing to compare";
  const std::map<std::string, CropMode> modes = {{"jax", CropMode::kCenter},
                                                 {"center", CropMode::kCenter},
                                                 {"squash", CropMode::kSquash},
                                                 {"border", CropMode::kBorder}};
  std::set<std::string> compared;
  const auto content = nlohmann::json::parse(read_text(file));
  for (const auto& golden : content.at("views")) {
    SCOPED_TRACE(golden.dump());
    const auto mode = golden.at("mode").get<std::string>();
    const int size = golden.at("size");
    const View view = evaluation_view(golden.at("height"), golden.at("width"),
                                      settings(mode == "jax" ? Resampler::kTf : Resampler::kPil,
                                               modes.at(mode), golden.at("crop_pct"), size));
    const auto rectangle = golden.at("rectangle").get<std::vector<double>>();
    EXPECT_NEAR(view.shift_x, rectangle.at(0), 1e-9);
    EXPECT_NEAR(view.shift_y, rectangle.at(1), 1e-9);
    EXPECT_NEAR(view.scale_x * size + view.shift_x, rectangle.at(2), 1e-9);
    EXPECT_NEAR(view.scale_y * size + view.shift_y, rectangle.at(3), 1e-9);
    compared.insert(mode);
  }
  EXPECT_EQ(compared.size(), modes.size());
}

TEST(EvaluationView, MarkerLandsInTheMappedBox) {
  for (const Preprocessing& p : all_settings())
    for (const auto& [height, width] : {std::pair{90, 151}, {151, 90}, {64, 64}, {300, 201}})
      for (const double at : {0.4, 0.5}) {
        SCOPED_TRACE(named(p) + ::testing::PrintToString(std::tuple(height, width, at)));
        const Range rows{std::floor(at * height), std::floor((at + 0.15) * height)};
        const Range columns{std::floor(at * width), std::floor((at + 0.15) * width)};
        Sample sample;
        sample.image = painted(height, width, rows, columns);
        expect_marker_found(evaluation_pixels(sample, p), evaluation_view(height, width, p), rows,
                            columns);
      }
}

TEST(EvaluationView, MarkerIsFoundOnImagesOfOnePixelsHeightAndSmallerThanTheCrop) {
  for (const Preprocessing& p : all_settings())
    for (const auto& [height, width] : {std::pair{1, 101}, {101, 1}, {9, 14}, {11, 8}}) {
      SCOPED_TRACE(named(p) + ::testing::PrintToString(std::tuple(height, width)));
      const View view = evaluation_view(height, width, p);
      const auto half = [](int side) { return Range{std::floor(side / 2.0), side * 1.0}; };
      const Range rows = half(height), columns = half(width);
      Sample sample;
      sample.image = painted(height, width, rows, columns);
      const Pixels pixels = evaluation_pixels(sample, p);
      const Range seen = on_input(columns, view.scale_x, view.shift_x, p.image_size);
      const Range seen_rows = on_input(rows, view.scale_y, view.shift_y, p.image_size);
      if (seen.end - seen.begin < 2 || seen_rows.end - seen_rows.begin < 2) continue;
      expect_marker_found(pixels, view, rows, columns);
    }
}

TEST(EvaluationView, BelongsToTheImageAsItIsTurned) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const Range rows{20, 40}, columns{50, 85};
    Sample sample;
    sample.encoded =
        testing::with_exif(encode_png(painted(90, 151, rows, columns)), orientation, false);
    Preprocessing p = settings(Resampler::kPil, CropMode::kSquash, 1.0);
    p.exif_orientation = true;
    const Image image = decoded(sample, p);
    EXPECT_EQ(image.height, orientation > 4 ? 151 : 90);
    Pixels whole{image.height, image.width, 3, {image.pixels.begin(), image.pixels.end()}};
    const auto [turned_rows, turned_columns] = bright_part(whole);
    expect_marker_found(evaluation_pixels(sample, p), evaluation_view(image.height, image.width, p),
                        turned_rows, turned_columns);
  }
}

TEST(EvaluationView, WrongSettingsAreUsageErrors) {
  EXPECT_THROW(evaluation_view(8, 8, settings(Resampler::kTf, CropMode::kCenter, 0)), UsageError);
}

}  // namespace
}  // namespace nestvit
