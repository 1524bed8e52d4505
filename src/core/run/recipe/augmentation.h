// The recipe's augmentation keys as settings of the image pipeline (image/pipeline.h,
// image/augment/mix.h).
#pragma once

#include <optional>

#include "image/augment/mix.h"
#include "image/pipeline.h"
#include "run/recipe/recipe.h"

namespace nestvit {

// Keys that are absent, "default" or "noop" leave their step out. Sizes left open are input_size.
AugmentSettings augment_settings(const Recipe& recipe);

// Nothing when neither mixup nor cutmix is asked for: labels are then only smoothed. As in the
// official code, cutmix_alpha is 1 once mixup_alpha is set.
std::optional<MixSettings> mix_settings(const Recipe& recipe);

}  // namespace nestvit
