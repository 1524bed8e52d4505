// Images in memory: 8-bit HWC as decoded, float HWC between transforms, and the float NCHW batch
// that models take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nestvit {

// 8-bit, rows of `width` pixels of `channels` (1 grey or 3 RGB) bytes.
struct Image {
  int height = 0;
  int width = 0;
  int channels = 3;
  std::vector<uint8_t> pixels;  // HWC

  size_t size() const { return static_cast<size_t>(height) * width * channels; }
  bool operator==(const Image&) const = default;
};

// Float pixels, HWC, in [0, 255] until normalised.
struct Pixels {
  int height = 0;
  int width = 0;
  int channels = 3;
  std::vector<float> values;
};

// A crop window in pixels.
struct Box {
  int y = 0, x = 0, height = 0, width = 0;
};

// Prepared images for a model, as the loader hands them out.
struct Batch {
  int size = 0;      // B
  int channels = 3;  // C
  int height = 0;
  int width = 0;
  std::vector<float> images;     // NCHW, normalised
  std::vector<int> labels;       // [B]; -1: none
  std::vector<int64_t> indices;  // [B], position in the dataset
};

}  // namespace nestvit
