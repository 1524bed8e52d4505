// From recipe keys to the image pipeline's settings.
#include "run/recipe/augmentation.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

namespace nestvit {
namespace {

// False for an absent type and for the official code's names for none.
bool asks_for(const char* key, const std::string& type, const std::string& known,
              const std::string& others = "") {
  if (type.empty() || type == "default" || type == "noop") return false;
  if (type != known)
    throw UsageError(fmt::format("{} is \"{}\"", key, type),
                     fmt::format("known are {}, {}default and noop", known, others));
  return true;
}

// Pixels from outside the image get the colour that normalises to 0, as in timm.
TimmRandAugment timm_randaugment(const Recipe& r) {
  TimmRandAugment settings = parse_timm_randaugment(r.augment.type);
  settings.fill.assign(r.in_channels == 1 ? 1 : 3, 128);
  const std::vector<double>& mean = r.preprocessing.mean;
  for (size_t c = 0; c < settings.fill.size() && c < mean.size(); ++c)
    settings.fill[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(255 * mean[c]), 0.0, 255.0));
  return settings;
}

}  // namespace

AugmentSettings augment_settings(const Recipe& r) {
  AugmentSettings settings;
  if (const AugmentKeys& a = r.augment; is_timm_randaugment(a.type))
    settings.timm_randaugment = timm_randaugment(r);
  else if (asks_for("augment.type", a.type, "randaugment", "timm's rand-m9-mstd0.5-inc1, "))
    settings.randaugment = RandAugment{.num_layers = a.randaugment_num_layers,
                                       .magnitude = a.randaugment_magnitude,
                                       .magstd = a.randaugment_magstd.value_or(0),
                                       .num_levels = a.randaugment_num_levels.value_or(0),
                                       .prob_to_apply = a.randaugment_prob_to_apply,
                                       .cutout = a.randaugment_cutout,
                                       .size = a.size > 0 ? a.size : r.input_size};
  if (asks_for("colorjitter.type", r.colorjitter.type, "colorjitter"))
    settings.jitter = ColorJitter{.strength = r.colorjitter.strength};
  if (const ErasingKeys& e = r.randerasing; e.erase_prob)
    settings.erasing = RandomErasing{
        .erase_prob = *e.erase_prob, .style = e.style, .mode = e.mode, .count = e.count};
  return settings;
}

std::optional<MixSettings> mix_settings(const Recipe& r) {
  MixSettings settings;
  settings.mixup_alpha = r.mix.mixup_alpha.value_or(0);
  settings.style = r.mix.style;
  const bool implied = settings.style == MixStyle::kReference && r.mix.mixup_alpha;
  settings.cutmix_alpha = r.mix.cutmix_alpha.value_or(implied ? 1 : 0);
  settings.switch_prob = r.mix.switch_prob;
  settings.prob_to_apply = r.mix.prob_to_apply;
  settings.smoothing = r.mix.smoothing;
  if (settings.mixup_alpha == 0 && settings.cutmix_alpha == 0) return std::nullopt;
  check(settings);
  return settings;
}

}  // namespace nestvit
