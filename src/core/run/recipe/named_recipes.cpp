// The values of each.
#include "run/recipe/named_recipes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

namespace nestvit {
namespace {

// The values that the official ImageNet and CIFAR configs share (reference.md F.8).
const Settings::Values kPaper = {
    {"learning_rate", "2.5e-4"},
    {"min_learning_rate", "0"},
    {"optim", "adamw"},
    {"optim_wd_ignore", "[pos_embedding]"},
    {"weight_decay", "0.05"},
    {"grad_clip_max_norm", "0"},
    {"learning_rate_schedule", "cosine"},
    {"augment.type", "randaugment"},
    {"augment.randaugment_num_layers", "2"},
    {"augment.randaugment_cutout", "false"},
    {"augment.randaugment_magnitude", "9"},
    {"augment.randaugment_magstd", "0.5"},
    {"augment.randaugment_prob_to_apply", "0.5"},
    {"randerasing.erase_prob", "0.25"},
    {"mix.mixup_alpha", "0.8"},
    {"mix.prob_to_apply", "1.0"},
    {"mix.smoothing", "0.1"},
};

// The flags that timm's users train such models with, each in timm's own form.
const Settings::Values kTimm = {
    {"optim", "adamw"},
    {"opt_eps", "1e-8"},
    {"opt_betas", "[0.9, 0.999]"},
    {"weight_decay", "0.05"},
    {"weight_decay_exclude_1d", "true"},
    {"learning_rate_schedule", "cosine"},
    {"warmup_learning_rate", "1e-6"},
    {"augment.type", "rand-m9-mstd0.5-inc1"},
    {"randerasing.erase_prob", "0.25"},
    {"randerasing.style", "timm"},
    {"randerasing.mode", "pixel"},
    {"randerasing.count", "1"},
    {"mix.style", "timm"},
    {"mix.mixup_alpha", "0.8"},
    {"mix.cutmix_alpha", "1.0"},
    {"mix.prob_to_apply", "1.0"},
    {"mix.switch_prob", "0.5"},
    {"mix.smoothing", "0.1"},
    {"model_ema", "true"},
    {"model_ema_decay", "0.9998"},
    {"model_ema_warmup", "true"},
    {"preprocessing.resampler", "pil"},
    {"preprocessing.interpolation", "bicubic"},
    {"preprocessing.dct", "accurate"},
};

}  // namespace

const std::vector<std::string>& named_recipes() {
  static const std::vector<std::string> names = {"paper", "timm"};
  return names;
}

Settings named_recipe(const std::string& name) {
  if (name == "paper") return {"", kPaper};
  if (name == "timm") return {"", kTimm};
  throw UsageError(fmt::format("there is no recipe \"{}\"", name),
                   fmt::format("known are {}; a file is given with --config",
                               fmt::join(named_recipes(), " and ")));
}

}  // namespace nestvit
