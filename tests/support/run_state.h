// A run in the middle, with every part of its state set.
#pragma once

#include "run/record/state.h"

namespace nestvit {

// `best`: the step of the best evaluation; -1: none yet.
inline RunState run_state(int64_t step, int64_t best) {
  RunState s;
  s.step = step;
  s.batch_size = 4;
  s.train_size = 10;
  s.best_step = best;
  s.best_top1 = 75;
  s.loss_sum = 1.5;
  s.loss_steps = 2;
  s.window = {2, 8, 5, 1.5, 1.1, 0.1};
  s.history = {{2, 0.5, 0.7, 0.6, 50.0, 100.0, 1e-3},
               {3, 1, 0.6, std::nullopt, std::nullopt, std::nullopt, 5e-4}};
  s.skipped = {{"a/broken.jpg", "truncated"}};
  s.recipe_digest = "0123456789abcdef";
  return s;
}

}  // namespace nestvit
