// Applies tables, counts values.
#include "image/augment/lookup.h"

namespace nestvit {

void look_up(Image& image, const Table& table) {
  for (uint8_t& v : image.pixels) v = table[v];
}

void look_up(Image& image, std::span<const Table> tables) {
  if (tables.size() == 1) return look_up(image, tables[0]);
  uint8_t* end = image.pixels.data() + image.pixels.size();
  for (uint8_t* p = image.pixels.data(); p != end; p += 3) {
    p[0] = tables[0][p[0]];
    p[1] = tables[1][p[1]];
    p[2] = tables[2][p[2]];
  }
}

std::vector<Histogram> histograms(const Image& image) {
  const auto channels = static_cast<size_t>(image.channels);
  // Two per channel, by turns: runs of equal pixels would wait for each other's counts.
  std::vector<std::array<uint32_t, 256>> counts(2 * channels);
  size_t turn = 0;
  for (size_t i = 0; i < image.pixels.size(); i += channels, turn ^= 1)
    for (size_t c = 0; c < channels; ++c) ++counts[2 * c + turn][image.pixels[i + c]];
  std::vector<Histogram> result(channels);
  for (size_t c = 0; c < channels; ++c)
    for (size_t v = 0; v < 256; ++v)
      result[c][v] = int64_t{counts[2 * c][v]} + counts[2 * c + 1][v];
  return result;
}

}  // namespace nestvit
