// Line by line, what the recipe came to.
#include "cli/verbs/train/announce.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/log.h"
#include "data/split.h"
#include "run/input/augmentation.h"
#include "run/recipe/finetune.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

std::string class_list(const std::vector<std::string>& classes) {
  constexpr size_t kShown = 12;
  const std::vector<std::string> shown(classes.begin(),
                                       classes.begin() + std::min(classes.size(), kShown));
  return fmt::format(
      "{}: {}{}", classes.size(), fmt::join(shown, ", "),
      classes.size() > kShown ? fmt::format(", and {} more", classes.size() - kShown) : "");
}

std::string split_source(const Recipe& recipe, const DataFacts& facts) {
  if (facts.kind != "image folder") return "";
  for (const std::string& name : split_names(parse_split(recipe.data.val_split)))
    if (fs::is_directory(fs::path(recipe.data.dir) / name)) return fmt::format(" (from {}/)", name);
  return fmt::format(" ({:.0f} % of each class, drawn with seed {})", 100 * recipe.data.val_share,
                     recipe.seed);
}

std::string transform_text(const Recipe& recipe) {
  switch (recipe.train_transform) {
    case TransformChoice::kCrop:
      return "random crop of 5 to 100 % of the area, flip";
    case TransformChoice::kRrc:
      return "timm's random crop of 8 to 100 % of the area, flip";
    case TransformChoice::kPad:
      return "shift by up to 2 pixels, flip";
    case TransformChoice::kFlip:
      return "flip";
    default:
      return "none";
  }
}

void announce_weights(const Recipe& recipe, const LoadedNetwork& weights) {
  const WeightsReport report = report_weights(recipe, weights);
  log_info(fmt::format("weights        {}: {}", weights.origin, fmt::join(report.changes, "; ")));
  for (const std::string& warning : report.warnings) log_warning(warning);
}

void announce_augmentation(const Recipe& r) {
  const Augmentation augmentation(augment_settings(r), static_cast<uint64_t>(r.seed));
  for (const std::string& step : augmentation.describe())
    log_info(fmt::format("augmentation   {}", step));
  if (const auto mix = mix_settings(r)) log_info(fmt::format("mix            {}", describe(*mix)));
}

}  // namespace

void announce(const Prepared& prepared) {
  const Recipe& r = prepared.recipe;
  const Preprocessing& p = r.preprocessing;
  log_info(fmt::format("recipe         {}", prepared.base));
  log_info(fmt::format("data           {}{}: {} images to train on, {} to evaluate{}",
                       prepared.facts.kind, r.data.dir.empty() ? "" : " " + r.data.dir,
                       prepared.train ? human_count(prepared.facts.train_size) : "no",
                       human_count(prepared.facts.val_size), split_source(r, prepared.facts)));
  log_info(fmt::format("classes        {}", class_list(prepared.val->classes())));
  log_info(fmt::format("model          {}, input {} x {} x {}: {}", r.model_name, r.in_channels,
                       r.input_size, r.input_size, describe(network(r))));
  if (prepared.weights) announce_weights(r, *prepared.weights);
  if (prepared.train)
    log_info(fmt::format(
        "transforms     {}; label smoothing {}{}", transform_text(r), r.mix.smoothing,
        is_resnet(r.model_name) ? ""
                                : fmt::format("; drop-path {}", r.nest.stochastic_depth_drop)));
  if (prepared.train) announce_augmentation(r);
  const bool plain = std::all_of(p.mean.begin(), p.mean.end(), [](double m) { return m == 0; }) &&
                     std::all_of(p.std.begin(), p.std.end(), [](double s) { return s == 1; });
  log_info(plain ? "normalisation  none, pixels stay in [0, 1] (as in the official code when no "
                   "augmentation key is set)"
                 : fmt::format("normalisation  mean [{:.4g}], std [{:.4g}]",
                               fmt::join(p.mean, ", "), fmt::join(p.std, ", ")));
}

}  // namespace nestvit::cli
