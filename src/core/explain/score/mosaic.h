// Mosaics (Focus, Arias-Duart et al. 2022): images of different classes in the blocks of a level.
// Whoever explains one of the classes should point at its block. Needs no boxes, and fits a NesT's
// tree exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "explain/explanation.h"

namespace nestvit {

// Which images make up each of `count` mosaics of edge x edge, row by row: numbers into `labels`,
// of different classes. A pure function of labels and seed. Throws UsageError where there are fewer
// classes than cells.
std::vector<std::vector<int64_t>> mosaic_picks(std::span<const int> labels, int edge, int count,
                                               uint64_t seed);

// edge * edge images [channels, S, S] as one, each shrunk to S/edge by the mean over edge x edge
// pixels. `edge` divides S.
std::vector<float> mosaic(const std::vector<std::vector<float>>& images, int channels, int size,
                          int edge);

// What an explanation of the class in cell `cell` says.
struct MosaicScore {
  double mass = 0;    // share of the map's positive part in the cell; NaN where nothing is positive
  double argmax = 0;  // 1 where the map's largest value, the first of equal ones, is in the cell
  double path = 0;    // 1 where the first log2(edge) quadrants lead into the cell; NaN: no path
};
MosaicScore mosaic_score(const CellMap& map, std::span<const int> path, int edge, int cell);

// Whether all of the classes are among the ten largest logits: else the mosaic is out of the
// model's reach.
bool within_reach(std::span<const float> logits, std::span<const int> classes);

}  // namespace nestvit
