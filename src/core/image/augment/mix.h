// Mixup and cutmix of a whole batch (reference.md E.4): images in place, and soft labels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "image/image.h"

namespace nestvit {

// kReference: every sample has its own share, mixup's partner is a permutation, cutmix's the
// reversed batch; labels are smoothed only where samples are mixed. kTimm: one share from
// Beta(alpha, alpha) for the batch, partners reversed, labels by the true area, always smoothed.
enum class MixStyle { kReference, kTimm };

struct MixSettings {
  MixStyle style = MixStyle::kReference;
  double mixup_alpha = 0.8;   // 0: no mixup
  double cutmix_alpha = 1.0;  // 0: no cutmix; both: one of them per batch, by switch_prob
  double prob_to_apply = 1.0;
  double switch_prob = 0.5;  // of cutmix where both are on
  double smoothing = 0;
  // Away from the official code (kReference only; kTimm does both):
  bool beta = false;         // shares from Beta(alpha, alpha) instead of u^(1/alpha)/2
  bool area_labels = false;  // cutmix labels by the box's true area instead of the drawn share
};

// Throws UsageError: both alphas 0 although something is mixed, negative numbers, a probability
// outside [0, 1].
void check(const MixSettings& settings);
std::string describe(const MixSettings& settings);

enum class MixKind { kNone, kMixup, kCutmix };

// The numbers that kReference draws; B of each that the kind uses.
struct MixDraws {
  MixKind kind = MixKind::kNone;
  std::vector<float> u;                   // [0, 1); with `beta` the share itself
  std::vector<int> partner;               // mixup: a permutation
  std::vector<int64_t> y_shift, x_shift;  // cutmix: [0, H), [0, W), before the modulo
};
MixDraws draw_mix(const MixSettings& settings, int batch, int height, int width, Rng& rng);

// The partner, weights and box of each sample.
struct MixPlan {
  MixKind kind = MixKind::kNone;
  double smoothing = 0;
  std::vector<float> own;     // [B] weight of its own label, and for mixup of its own pixels
  std::vector<int> partner;   // [B]
  std::vector<Box> box;       // [B] for cutmix
  bool box_keeps_own = true;  // cutmix: inside are its own pixels, outside the partner's
};
MixPlan plan_mix(const MixSettings& settings, const MixDraws& draws, int height, int width);
MixPlan plan_mix(const MixSettings& settings, int batch, int height, int width, Rng& rng);

// [B, K]. Throws Error for a label outside of [0, classes).
std::vector<float> one_hot(std::span<const int> labels, int classes);
// y*(1-e) + e/K, in place; `labels` [B, K].
void smooth(std::span<float> labels, int classes, double smoothing);

// `images` [B, C, H, W] in place, `labels` [B, K] one-hot in, soft out. B is plan.own.size() unless
// the kind is kNone.
struct MixShape {
  int batch = 0, channels = 3, height = 0, width = 0, classes = 0;
};
void apply_mix(const MixPlan& plan, const MixShape& shape, std::span<float> images,
               std::span<float> labels);

// All of it: mixes the batch's images and returns its soft labels [B, classes].
std::vector<float> mix(Batch& batch, int classes, const MixSettings& settings, Rng& rng);

}  // namespace nestvit
