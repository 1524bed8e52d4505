// The reference's learning-rate schedule, in its float32 arithmetic; reference.md F.3.
#include "run/recipe/schedule.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nestvit {

void Schedule::check() const {
  if (steps_per_epoch < 1)
    throw UsageError(fmt::format("{} steps per epoch: need at least 1", steps_per_epoch));
  if (!(warmup_epochs >= 0 && warmup_epochs < num_epochs))
    throw UsageError(
        fmt::format("warmup_epochs is {}, num_epochs {}: warm-up must be shorter than the run",
                    warmup_epochs, num_epochs),
        "lower warmup_epochs (0 switches warm-up off) or raise num_epochs");
}

float Schedule::at(int64_t step) const {
  const auto f = [](double x) { return static_cast<float>(x); };
  const float epoch = static_cast<float>(step) / static_cast<float>(steps_per_epoch);
  // Not clamped at 1: where the steps of an epoch were rounded down, the cosine ends a little past
  // its minimum.
  const float ratio = std::max(0.0F, (epoch - f(warmup_epochs)) / f(num_epochs - warmup_epochs));
  float rate = f(base);
  if (kind == ScheduleKind::kCosine)
    rate = f(base * 0.5) * (1 + std::cos(std::numbers::pi_v<float> * ratio));
  if (kind == ScheduleKind::kLinear) rate = f(base) * (1 - ratio);
  const float done = warmup_epochs > 0 ? std::min(1.0F, epoch / f(warmup_epochs)) : 1.0F;
  if (done < 1) return rate * done + f(warmup) * (1 - done);
  return std::max(rate, f(minimum));
}

}  // namespace nestvit
