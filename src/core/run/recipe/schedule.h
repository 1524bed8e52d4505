// The reference's learning-rate schedule, in its float32 arithmetic; reference.md F.3.
#pragma once

#include <cstdint>

namespace nestvit {

enum class ScheduleKind { kCosine, kLinear, kConstant };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  double base = 0;     // peak: learning_rate * global batch / 256
  double minimum = 0;  // min_learning_rate * global batch / 256; acts after warm-up
  double warmup = 0;   // likewise; where warm-up begins, timm's warmup_lr
  int64_t steps_per_epoch = 1;
  double warmup_epochs = 0;
  double num_epochs = 1;

  // Throws UsageError when warm-up is not shorter than the run.
  void check() const;
  float at(int64_t step) const;  // step counts from 1
};

}  // namespace nestvit
