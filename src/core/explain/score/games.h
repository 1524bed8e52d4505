// Deletion and insertion (Petsiuk et al. 2018): cells of the image are replaced by a substrate, or
// restored from it, in the order of a map, and the class's probability and logit are followed. All
// maps play on one grid of cells.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "explain/explanation.h"
#include "model/nest.h"

namespace nestvit {

// Logits [B, K] of images [B, channels, S, S], normalised.
using LogitsOf = std::function<std::vector<float>(std::span<const float> images, int batch)>;

// side x side square cells over the S x S input.
struct Grid {
  int side = 0;
  int cell = 0;  // edge of a cell in pixels
  int cells() const { return side * side; }
  int size() const { return side * cell; }  // S
};

// Takes the pixels of a cell over from one picture [channels, S, S] to another.
void copy_cell(const Grid& grid, int channels, std::span<const float> from, std::span<float> to,
               int cell);

// The tokens of the coarsest level that has at least kLeastCells; of the finest where none has.
inline constexpr int kLeastCells = 196;
Grid score_grid(const NestConfig& config);

// A map on the grid, [side, side]: finer cells are summed, coarser ones repeated. One side must
// divide the other.
std::vector<double> on_grid(const CellMap& map, const Grid& grid);

// The cells in an order that the seed and the image's number decide.
std::vector<int> tie_order(int cells, uint64_t seed, uint64_t image);
// The cells, the largest value first, equal ones by tie_order(). A signed map is ranked by value,
// never by magnitude.
std::vector<int> ranking(std::span<const double> values, uint64_t seed, uint64_t image);

// At each step the share of cells that is replaced or restored, from 0 to 1, and what the class has
// there.
struct Curve {
  std::vector<double> share, probability, logit;
};
// The area by the trapezoid rule.
double area(std::span<const double> x, std::span<const double> y);

struct GameImage {
  std::span<const float> image, substrate;  // [channels, S, S], normalised
  int channels = 3;
  int target = 0;  // the class
};

struct GameOptions {
  int steps = 28;  // a cell a step where there are fewer cells
  int batch = 8;
};

struct Games {
  Curve deletion;   // from the image, the most important cells are replaced first
  Curve insertion;  // from the substrate, the most important cells are restored first
};

// Both games in 2 * steps forwards: each begins where the other ends.
Games play(const GameImage& image, const Grid& grid, std::span<const int> order,
           const GameOptions& options, const LogitsOf& logits_of);

// The area of deletion with the least important cells first, less that with the most important
// first. The former's curve is insertion's read backwards, so it costs no forward.
struct LerfMorf {
  double probability = 0, logit = 0;
};
LerfMorf lerf_less_morf(const Games& games);

}  // namespace nestvit
