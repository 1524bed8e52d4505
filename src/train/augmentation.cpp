// From recipe keys to the image pipeline's settings.
#include "train/augmentation.h"

#include <fmt/format.h>
#include <nestvit/error.h>

namespace nestvit::train {
namespace {

// Absent, or the official code's names for none.
bool asks_for(const char* key, const std::string& type, const std::string& known) {
  if (type.empty() || type == "default" || type == "noop") return false;
  if (type != known)
    throw UsageError(fmt::format("{} is \"{}\"", key, type),
                     fmt::format("known are {}, default and noop", known));
  return true;
}

}  // namespace

AugmentSettings augment_settings(const Recipe& r) {
  AugmentSettings settings;
  if (const AugmentKeys& a = r.augment; asks_for("augment.type", a.type, "randaugment"))
    settings.randaugment = RandAugment{.num_layers = a.randaugment_num_layers,
                                       .magnitude = a.randaugment_magnitude,
                                       .magstd = a.randaugment_magstd.value_or(0),
                                       .num_levels = a.randaugment_num_levels.value_or(0),
                                       .prob_to_apply = a.randaugment_prob_to_apply,
                                       .cutout = a.randaugment_cutout,
                                       .size = a.size > 0 ? a.size : r.input_size};
  if (asks_for("colorjitter.type", r.colorjitter.type, "colorjitter"))
    settings.jitter = ColorJitter{.strength = r.colorjitter.strength};
  if (r.erase_prob) settings.erasing = RandomErasing{.erase_prob = *r.erase_prob};
  return settings;
}

std::optional<MixSettings> mix_settings(const Recipe& r) {
  MixSettings settings;
  settings.mixup_alpha = r.mix.mixup_alpha.value_or(0);
  settings.cutmix_alpha = r.mix.cutmix_alpha.value_or(r.mix.mixup_alpha ? 1 : 0);
  settings.prob_to_apply = r.mix.prob_to_apply;
  settings.smoothing = r.mix.smoothing;
  if (settings.mixup_alpha == 0 && settings.cutmix_alpha == 0) return std::nullopt;
  check(settings);
  return settings;
}

}  // namespace nestvit::train
