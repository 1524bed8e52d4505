// One evaluation of given weights, instead of a training run: the key eval_only. Free of libtorch.
#pragma once

#include "data/dataset.h"
#include "run/recipe/recipe.h"
#include "train/trainer.h"

namespace nestvit::train {

// Evaluates options.weights once on `val_set` and writes the result as the reference does, at step
// 0: a line, log.jsonl, summary.csv; no checkpoints. Returns the signal that stopped it, or 0.
int evaluate_only(const Recipe& recipe, const Dataset& val_set, const TrainOptions& options);

}  // namespace nestvit::train
