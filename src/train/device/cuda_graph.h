// Forward and backward as a CUDA graph: whether a run may, and what does it.
#pragma once

#include "run/recipe/recipe.h"
#include "train/device/graph.h"
#include "train/trainer.h"

namespace nestvit::train {

// Throws UsageError when options.cuda_graph is set for a run that cannot be recorded.
void check_cuda_graph(const Recipe& recipe, const TrainOptions& options);

// Null unless options.cuda_graph is set. After open_device(); throws Error when what records is
// missing (cuda_module.h).
MakeReplay cuda_graph(const TrainOptions& options);

}  // namespace nestvit::train
