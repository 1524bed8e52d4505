// The steps of a run and their learning rates, by the reference's arithmetic (reference.md F.3).
#pragma once

#include <cstdint>

#include "run/recipe/recipe.h"
#include "run/recipe/schedule.h"

namespace nestvit {

// Batches per optimiser step: grad_accum_steps x num_devices. Each is drawn, mixed and normalised
// by itself, whichever process computes it.
int64_t step_batches(const Recipe& recipe);
// Images per optimiser step: per_device_batch_size x step_batches. The learning rate is scaled by
// it, and steps are counted in it.
int64_t step_images(const Recipe& recipe);

// In optimiser steps. A batch may hold the last images of one epoch and the first of the next.
// Steps that remain after the last whole epoch or evaluation interval belong to the last one.
struct StepPlan {
  int64_t total = 0;
  int64_t per_epoch = 0;
  int64_t per_evaluation = 0;
  int epochs = 1;

  bool epoch_ends(int64_t step) const { return ends(step, per_epoch); }
  bool evaluation_ends(int64_t step) const { return ends(step, per_evaluation); }
  // Epochs done after `step`: step / per_epoch, but in the last epoch a share of all its steps, so
  // that the last step makes `epochs`.
  double epoch(int64_t step) const;

 private:
  bool ends(int64_t step, int64_t interval) const {
    return step == total || (step > 0 && step % interval == 0 && step + interval <= total);
  }
};
StepPlan step_plan(const Recipe& recipe, int64_t train_size);

// The learning rate of every step. Throws as Schedule::check().
Schedule schedule_of(const Recipe& recipe, const StepPlan& plan);

}  // namespace nestvit
