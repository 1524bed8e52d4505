// Random erasing; see erase.h.
#include "image/augment/erase.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

constexpr float kMinArea = 0.02f, kMaxArea = 1.0f / 3.0f;
const float kLogAspect = std::log(1 / 0.3f);

// The first index above centre - half, and how many are below centre + half. Compared as the
// official mask does, in float32: rounding decides which pixels belong.
std::pair<int, int> covered(float centre, float half, int side) {
  int begin = 0, end = side;
  while (begin < side && !(static_cast<float>(begin) > centre - half)) ++begin;
  while (end > begin && !(static_cast<float>(end - 1) < centre + half)) --end;
  return {begin, end - begin};
}

// Box-Muller with both of its numbers: noise is most of erasing's cost.
std::vector<float> normal_noise(size_t count, Rng& rng) {
  std::vector<float> noise(count + count % 2);
  for (size_t i = 0; i < noise.size(); i += 2) {
    const float radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const float angle = 2 * std::numbers::pi_v<float> * rng.uniform();
    noise[i] = radius * std::cos(angle);
    noise[i + 1] = radius * std::sin(angle);
  }
  noise.resize(count);
  return noise;
}

// [C, area] values for a box.
std::vector<float> filling(EraseMode mode, size_t channels, size_t area, Rng& rng) {
  if (mode == EraseMode::kPixel) return normal_noise(channels * area, rng);
  std::vector<float> values(channels * area, 0.0f);
  if (mode == EraseMode::kRand)
    for (size_t c = 0; c < channels; ++c)
      std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(c * area), area, rng.normal());
  return values;
}

float between(float low, float high, Rng& rng) { return low + (high - low) * rng.uniform(); }

// One of `count` boxes of timm's RandomErasing.
Box timm_box(int height, int width, int count, Rng& rng) {
  constexpr int kAttempts = 10;
  const float all = static_cast<float>(height) * static_cast<float>(width);
  for (int i = 0; i < kAttempts; ++i) {
    const float area = between(kMinArea, kMaxArea, rng) * all / static_cast<float>(count);
    const float aspect = std::exp(between(-kLogAspect, kLogAspect, rng));
    const auto h = static_cast<int>(std::nearbyint(std::sqrt(area * aspect)));
    const auto w = static_cast<int>(std::nearbyint(std::sqrt(area / aspect)));
    if (w >= width || h >= height) continue;
    return {static_cast<int>(rng.below(static_cast<uint64_t>(height - h) + 1)),
            static_cast<int>(rng.below(static_cast<uint64_t>(width - w) + 1)), h, w};
  }
  return {};
}

}  // namespace

void check(const RandomErasing& s) {
  if (!(s.erase_prob >= 0 && s.erase_prob <= 1))
    throw UsageError(fmt::format("the probability of random erasing is {}", s.erase_prob),
                     "give 0 to 1");
  if (s.count < 1 || s.count > 1000)
    throw UsageError(fmt::format("random erasing of up to {} boxes", s.count), "give 1 to 1000");
  if (s.style == EraseStyle::kReference && (s.count != 1 || s.mode != EraseMode::kPixel))
    throw UsageError("the official random erasing knows one box of noise",
                     "for other modes and counts: randerasing.style timm, or --recipe timm");
}

std::string describe(const RandomErasing& s) {
  const char* filling = s.mode == EraseMode::kPixel  ? "noise"
                        : s.mode == EraseMode::kRand ? "one random colour"
                                                     : "the mean";
  return fmt::format(
      "random erasing with probability {}: {:.0f} to {:.0f} % of the area become {}{}{}",
      s.erase_prob, 100 * kMinArea, 100 * kMaxArea, filling,
      s.count > 1 ? fmt::format(", in up to {} boxes", s.count) : "",
      s.style == EraseStyle::kTimm ? ", boxes inside the image" : ", boxes cut at the edges");
}

EraseDraws draw_erase(Rng& rng) {
  EraseDraws draws;
  draws.apply = rng.uniform();
  draws.area = between(kMinArea, kMaxArea, rng);
  draws.log_aspect = between(-kLogAspect, kLogAspect, rng);
  draws.centre_y = rng.uniform();
  draws.centre_x = rng.uniform();
  return draws;
}

Box erase_box(const EraseDraws& draws, int height, int width) {
  const auto h = static_cast<float>(height), w = static_cast<float>(width);
  const float aspect = std::exp(draws.log_aspect);
  const auto [top, rows] =
      covered(draws.centre_y * h, h * std::sqrt(draws.area * aspect) / 2, height);
  const auto [left, columns] =
      covered(draws.centre_x * w, w * std::sqrt(draws.area / aspect) / 2, width);
  return {top, left, rows, columns};
}

void fill_box(std::span<float> chw, int height, int width, const Box& box,
              std::span<const float> noise) {
  const size_t plane = static_cast<size_t>(height) * width;
  const size_t area = static_cast<size_t>(box.height) * box.width;
  NESTVIT_CHECK(box.y >= 0 && box.x >= 0 && box.y + box.height <= height &&
                box.x + box.width <= width);
  NESTVIT_CHECK(plane > 0 && chw.size() % plane == 0 && noise.size() == chw.size() / plane * area);
  const float* from = noise.data();
  for (size_t c = 0; c < chw.size() / plane; ++c)
    for (int y = box.y; y < box.y + box.height; ++y, from += box.width)
      std::copy_n(from, box.width, chw.data() + c * plane + static_cast<size_t>(y) * width + box.x);
}

std::vector<Box> random_erase(std::span<float> chw, int height, int width,
                              const RandomErasing& settings, Rng& rng) {
  const EraseDraws draws = draw_erase(rng);
  if (!(draws.apply < static_cast<float>(settings.erase_prob))) return {};
  std::vector<Box> boxes = {erase_box(draws, height, width)};
  if (settings.style == EraseStyle::kTimm) {
    const int count = settings.count == 1
                          ? 1
                          : 1 + static_cast<int>(rng.below(static_cast<uint64_t>(settings.count)));
    boxes.clear();
    for (int i = 0; i < count; ++i) boxes.push_back(timm_box(height, width, count, rng));
  }
  const size_t channels = chw.size() / (static_cast<size_t>(height) * width);
  for (const Box& box : boxes) {
    const size_t area = static_cast<size_t>(box.height) * box.width;
    fill_box(chw, height, width, box, filling(settings.mode, channels, area, rng));
  }
  return boxes;
}

}  // namespace nestvit
