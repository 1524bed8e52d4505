// Random erasing (reference.md E.3): a box of the normalised image becomes noise.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "image/image.h"

namespace nestvit {

// kReference: the box's centre lies anywhere, what hangs over the edge is cut off. kTimm: a box
// that does not fit is drawn again, up to ten times.
enum class EraseStyle { kReference, kTimm };

// The filling of a box: noise per pixel and channel, one random colour, or 0, which is the mean.
enum class EraseMode { kPixel, kRand, kConst };

struct RandomErasing {
  double erase_prob = 0.25;
  EraseStyle style = EraseStyle::kReference;
  EraseMode mode = EraseMode::kPixel;
  int count = 1;  // kTimm: one to so many boxes, which share the area
};

void check(const RandomErasing& settings);  // UsageError for impossible settings
std::string describe(const RandomErasing& settings);

// The numbers that kReference draws.
struct EraseDraws {
  float apply = 0;       // [0, 1): erased below erase_prob
  float area = 0;        // [0.02, 1/3) of the image
  float log_aspect = 0;  // [log 0.3, -log 0.3); height over width, in shares of the sides
  float centre_y = 0, centre_x = 0;  // [0, 1)
};

EraseDraws draw_erase(Rng& rng);
// Whatever `apply` says; empty when no pixel's centre lies inside.
Box erase_box(const EraseDraws& draws, int height, int width);

// `noise` [C, box.height, box.width] over `box` of `chw` [C, height, width].
void fill_box(std::span<float> chw, int height, int width, const Box& box,
              std::span<const float> noise);

// All of it, with noise from N(0, 1). Returns the erased boxes, which may be empty.
std::vector<Box> random_erase(std::span<float> chw, int height, int width,
                              const RandomErasing& settings, Rng& rng);

}  // namespace nestvit
