// Maps that know nothing of the model: what a score has to be compared with.
#pragma once

#include <cstdint>
#include <span>

#include "explain/explanation.h"
#include "explain/score/games.h"

namespace nestvit {

// The cells in the order of tie_order(): a constant map plays the games as this one does. Values
// from 1 down to 1/cells.
CellMap random_map(const Grid& grid, uint64_t seed, uint64_t image);
// A Gaussian about the middle, sigma S/4.
CellMap centre_map(const Grid& grid);
// The magnitude of the Sobel gradient of the image's mean over channels, summed in each cell; the
// border continues outwards. image [channels, S, S].
CellMap edge_map(const Grid& grid, std::span<const float> image, int channels);

}  // namespace nestvit
