// Mixed precision: autocast of the forward, and the loss scaling that fp16 gradients need. Weights,
// optimiser and loss stay f32.
#pragma once

#include <cstdint>

#include "run/recipe/recipe.h"
#include "train/torch.h"

namespace nestvit::train {

// While it lives, matrix products and convolutions of this thread on devices of `device`'s kind
// compute in `amp`'s type; kNone and kTf32 (device.h) switch autocast off.
class Autocast {
 public:
  explicit Autocast(Amp amp, at::DeviceType device = at::kCPU);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

  static Amp current(at::DeviceType device);  // of this thread

 private:
  at::DeviceType device_;
  // The settings before.
  bool enabled_, cached_;
  at::ScalarType dtype_;
};

// torch's GradScaler with its defaults: the loss is multiplied by a power of two so that small
// gradients do not vanish in fp16; halved when they overflow, doubled after 2000 good steps.
class LossScale {
 public:
  static constexpr double kFirst = 65536, kFloor = 1;
  static constexpr int64_t kGrowthInterval = 2000;

  double scale() const { return scale_; }
  int64_t good_steps() const { return good_steps_; }
  void restore(double scale, int64_t good_steps);

  void good();
  // After a step whose gradients overflowed. False when the scale was at its floor: the gradients
  // are then infinite or NaN at any scale.
  bool overflow();

 private:
  double scale_ = kFirst;
  int64_t good_steps_ = 0;  // since the last change
};

}  // namespace nestvit::train
