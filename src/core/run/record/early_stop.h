// Early stopping: when a run's evaluations no longer get better.
#pragma once

#include <vector>

#include "run/record/state.h"

namespace nestvit {

// Whether the last `patience` evaluations of `history` were all no more than `min_delta` (per cent)
// above the best top-1 before them. 0: never. A function of the history, so that a resumed run
// decides as the whole one.
bool out_of_patience(const std::vector<SummaryRow>& history, int patience, double min_delta);

}  // namespace nestvit
