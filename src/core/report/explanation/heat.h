// The colours of heat maps.
//
// Positive maps: cividis, whose lightness rises in a line and which people with and without a
// colour vision deficiency see alike (Nuñez, Anderton, Renslow, PLOS ONE 13(7), 2018). Signed maps:
// blue (against), white, orange (for); lightness falls alike to both sides.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "explain/explanation.h"

namespace nestvit {

using HeatColour = std::array<uint8_t, 3>;  // sRGB

// From 0 to `most`, or from -most to most: never from a map's least value, which would show noise
// as strongly as evidence.
struct HeatScale {
  bool is_signed = false;
  double most = 0;
};

// One scale for all.
HeatScale common_scale(const std::vector<const CellMap*>& maps);

// Whether the map has anything to show: it is decided, and some value is positive.
bool speaks_for(const CellMap& map);

HeatColour heat_colour(const HeatScale& scale, double value);

}  // namespace nestvit
