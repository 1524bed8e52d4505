// nestvit bench --gradients: what an explanation costs beside an answer.
#pragma once

#include <vector>

#include "weights/model_dir.h"

namespace nestvit::cli {

struct GradientBench {
  std::vector<int> batches, threads;  // of each setting: every pair of them
  int rounds = 5;
};

// Checks the gradients against what must hold (the forward's logits, and what a pooling and the
// final norm conserve), then times them beside the forward, in turns. Throws Error where a check
// fails.
void bench_gradients(const LoadedModel& model, const GradientBench& settings);

}  // namespace nestvit::cli
