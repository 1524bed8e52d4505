// Counting steps and scaling the learning rate.
#include "run/recipe/plan.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

namespace nestvit {

int64_t step_batches(const Recipe& r) { return int64_t{r.grad_accum_steps} * r.num_devices; }

int64_t step_images(const Recipe& r) { return r.per_device_batch_size * step_batches(r); }

StepPlan step_plan(const Recipe& r, int64_t train_size) {
  StepPlan plan;
  plan.total =
      r.num_train_steps > 0 ? r.num_train_steps : train_size * r.num_epochs / step_images(r);
  plan.epochs = r.num_epochs;
  plan.per_epoch = plan.total / r.num_epochs;
  if (plan.per_epoch == 0) {
    if (r.num_train_steps > 0)
      throw UsageError(fmt::format("num_train_steps {} is less than one step for each of {} epochs",
                                   r.num_train_steps, r.num_epochs),
                       "lower num_epochs too: the learning rate follows it");
    throw UsageError(fmt::format("{} training images make no full batch of {} in an epoch",
                                 train_size, step_images(r)),
                     fmt::format("use --batch-size {} or less{}",
                                 std::max<int64_t>(1, train_size / step_batches(r)),
                                 r.grad_accum_steps > 1 ? ", or fewer --grad-accum-steps"
                                 : r.num_devices > 1    ? ", or fewer processes"
                                                        : ""));
  }
  double every = static_cast<double>(r.eval_every_steps);
  if (r.eval_every_steps < 1 || r.eval_per_epochs > 0)
    every = static_cast<double>(plan.per_epoch) * (r.eval_per_epochs > 0 ? r.eval_per_epochs : 1);
  plan.per_evaluation =
      static_cast<int64_t>(std::clamp(every, 1.0, static_cast<double>(plan.total)));
  return plan;
}

double StepPlan::epoch(int64_t step) const {
  const int64_t last = (epochs - 1) * per_epoch;  // where the last epoch begins
  if (step <= last) return static_cast<double>(step) / static_cast<double>(per_epoch);
  return epochs - 1 + static_cast<double>(step - last) / static_cast<double>(total - last);
}

Schedule schedule_of(const Recipe& r, const StepPlan& plan) {
  const double scale = static_cast<double>(step_images(r)) / 256;
  Schedule schedule;
  schedule.kind = r.learning_rate_schedule;
  schedule.base = r.learning_rate * scale;
  schedule.minimum = r.min_learning_rate * scale;
  schedule.warmup = r.warmup_learning_rate * scale;
  schedule.steps_per_epoch = plan.per_epoch;
  schedule.warmup_epochs = r.warmup_epochs;
  schedule.num_epochs = r.num_epochs;
  schedule.check();
  return schedule;
}

}  // namespace nestvit
