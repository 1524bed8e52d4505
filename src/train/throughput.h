// Size and speed of the model: the reference's log_model_profile (reference.md F.7).
#pragma once

#include "run/recipe/recipe.h"
#include "train/network/network.h"

namespace nestvit::train {

// Parameters and multiply-accumulates of each part on the terminal, then the reference's line with
// the throughput of `net` in evaluation, measured for some seconds on batches as in training.
void print_throughput(Network& net, const Recipe& recipe);

}  // namespace nestvit::train
