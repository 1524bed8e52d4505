// Tables by value and histograms, for all 8-bit operations. Images of 1 or 3 channels.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "image/image.h"

namespace nestvit {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

template <class F>
Table table_of(F value) {
  Table table{};
  for (int v = 0; v < 256; ++v) table[v] = value(v);
  return table;
}

void look_up(Image& image, const Table& table);
void look_up(Image& image, std::span<const Table> tables);  // one per channel

std::vector<Histogram> histograms(const Image& image);  // one per channel

// Each channel through the table that `table_of_channel` makes of its histogram.
template <class F>
void by_histogram(Image& image, F table_of_channel) {
  std::vector<Table> tables;
  for (const Histogram& histogram : histograms(image))
    tables.push_back(table_of_channel(histogram));
  look_up(image, tables);
}

}  // namespace nestvit
