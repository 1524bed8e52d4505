// Autocast as a scope, and the changes of the loss scale.
#include "train/optim/amp.h"

#include "base/check.h"

namespace nestvit::train {

Autocast::Autocast(Amp amp, at::DeviceType device)
    : device_(device),
      enabled_(at::autocast::is_autocast_enabled(device)),
      cached_(at::autocast::is_autocast_cache_enabled()),
      dtype_(at::autocast::get_autocast_dtype(device)) {
  const bool on = amp == Amp::kBf16 || amp == Amp::kFp16;
  at::autocast::set_autocast_enabled(device, on);
  if (on) at::autocast::set_autocast_dtype(device, amp == Amp::kBf16 ? at::kBFloat16 : at::kHalf);
  // Off: every weight is cast only once per forward, and when layers are computed again in the
  // backward, cached casts would outlive the graph that they belong to.
  at::autocast::set_autocast_cache_enabled(false);
}

Autocast::~Autocast() {
  at::autocast::set_autocast_enabled(device_, enabled_);
  at::autocast::set_autocast_dtype(device_, dtype_);
  at::autocast::set_autocast_cache_enabled(cached_);
}

Amp Autocast::current(at::DeviceType device) {
  if (!at::autocast::is_autocast_enabled(device)) return Amp::kNone;
  return at::autocast::get_autocast_dtype(device) == at::kHalf ? Amp::kFp16 : Amp::kBf16;
}

void LossScale::restore(double scale, int64_t good_steps) {
  NESTVIT_CHECK(scale >= kFloor && good_steps >= 0);
  scale_ = scale;
  good_steps_ = good_steps;
}

void LossScale::good() {
  if (++good_steps_ < kGrowthInterval) return;
  scale_ *= 2;
  good_steps_ = 0;
}

bool LossScale::overflow() {
  good_steps_ = 0;
  if (scale_ <= kFloor) return false;
  scale_ /= 2;
  return true;
}

}  // namespace nestvit::train
