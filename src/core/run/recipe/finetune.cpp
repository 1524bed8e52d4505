// From weights to a recipe and to the tensors that a run starts from.
#include "run/recipe/finetune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "run/recipe/default_recipe.h"
#include "weights/labels/labels.h"

namespace nestvit {
namespace {

int grid_of(const NestConfig& config) { return geometry(config).front().grid; }

// The edge of a block that keeps the number of blocks at another image size.
int patch_size_for(const NestConfig& weights, int image_size, const std::string& origin) {
  const int unit = weights.init_patch_embed_size * grid_of(weights);
  if (image_size % unit == 0) return image_size / unit;
  const int below = std::max(1, image_size / unit) * unit;
  throw UsageError(
      fmt::format("input_size {} does not fit {}: its {} x {} blocks need a multiple of {}",
                  image_size, origin, grid_of(weights), grid_of(weights), unit),
      fmt::format("use {} or {}", below, below + unit));
}

// One grey channel takes the colours' average, as in timm.
void average(std::vector<double>& values) {
  if (values.size() > 1)
    values = {std::accumulate(values.begin(), values.end(), 0.0) /
              static_cast<double>(values.size())};
}

// Traits that cannot change without training anew, as the recipe spells them.
std::vector<std::pair<std::string, std::string>> traits_of(NestConfig config) {
  std::vector<int> widths, heads;
  // A size that its levels fit. The real one may not, but a wrong size is the smaller mistake.
  int64_t size = int64_t{config.init_patch_embed_size} * config.patch_size;
  for (size_t i = 1; i < config.num_layers_per_block.size() && size < 1 << 20; ++i) size *= 2;
  config.image_size = static_cast<int>(std::min<int64_t>(size, 1 << 20));
  for (const Level& level : geometry(config)) {
    widths.push_back(level.width);
    heads.push_back(level.heads);
  }
  const Fields f = fields(config);
  std::vector<std::pair<std::string, std::string>> traits;
  for (const char* key : {"init_patch_embed_size", "num_layers_per_block", "attn_type", "norm_type",
                          "mlp_ratio", "qkv_bias"})
    traits.emplace_back(fmt::format("nest.{}", key), f.get(key));
  traits.emplace_back("the channels per level", fmt::format("[{}]", fmt::join(widths, ", ")));
  traits.emplace_back("the heads per level", fmt::format("[{}]", fmt::join(heads, ", ")));
  return traits;
}

// The official code resizes the edge of a block to ceil(edge * ratio) and fails when the model has
// another edge: 1.7143 for 384/224 gives 25 instead of 24. Here the sizes decide.
void check_ratio(const Recipe& recipe, const LoadedNetwork& weights) {
  if (recipe.resize_posembed == 1) return;
  const Level old_level = geometry(*weights.config.nest()).front();
  const Level new_level = geometry(recipe.nest).front();
  const double ratio = static_cast<double>(new_level.map()) / old_level.map();
  if (std::abs(recipe.resize_posembed - ratio) * old_level.edge <= 0.5) return;
  throw UsageError(
      fmt::format("resize_posembed is {}, but the weights are for {} pixels and the input has {}: "
                  "the ratio is {:.6g}",
                  recipe.resize_posembed, weights.config.image_size(), recipe.nest.image_size,
                  ratio),
      "leave resize_posembed out (the sizes say it), or set input_size to what you mean");
}

// Official weights do not describe their preprocessing.
bool assumed(const LoadedNetwork& weights) {
  return weights.preprocessing == preprocessing_mode("jax", weights.preprocessing.image_size);
}

// "cat, dog, emu and 3 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  const std::span<const std::string> shown = std::span(names).first(std::min(names.size(), kShown));
  return fmt::format(
      "{}{}", fmt::join(shown, ", "),
      names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

// The head as its number of classes says, whatever their names.
HeadPlan head_by_number(const Recipe& recipe, const LoadedNetwork& weights) {
  const ReinitHead asked = reinit_head_of(recipe);
  const Architecture ours = architecture_of(recipe);
  if (!weights.headless && !replaces_head(weights.config, ours, asked))
    return {{}, fmt::format("the head stays: {} classes", ours.num_classes()), ""};
  return {{},
          fmt::format("a new head for {} classes, {}{}", ours.num_classes(),
                      asked == ReinitHead::kRandom ? "random" : "zeros",
                      asked != ReinitHead::kAuto ? ""
                      : weights.headless
                          ? " (the weights have none)"
                          : fmt::format(" (the weights have {})", weights.config.num_classes())),
          ""};
}

// The head by the names of the classes, of which the weights know some or none.
HeadPlan head_by_name(const std::vector<std::string>& classes, const LoadedNetwork& weights) {
  HeadPlan plan{known_classes(classes, weights), "", ""};
  std::vector<std::string> fresh;
  for (size_t k = 0; k < classes.size(); ++k)
    if (plan.rows[k] < 0) fresh.push_back(classes[k]);
  const size_t total = classes.size(), theirs = weights.labels.size();
  if (fresh.size() == total)
    plan.change =
        fmt::format("a new head for {} classes, zeros (the weights have {} others)", total, theirs);
  else if (!fresh.empty())
    plan.change = fmt::format(
        "of {} classes the weights know {} by name, whose rows of the head stay; rows of zeros for "
        "{}",
        total, total - fresh.size(), some_of(fresh));
  else if (total < theirs)
    plan.change =
        fmt::format("the head keeps the rows of {} of its {} classes, by name", total, theirs);
  else
    plan.change =
        fmt::format("the head stays, its rows moved: the same {} classes in another order", total);
  return plan;
}

// Few passes are enough from good weights; small data needs more of them to make enough steps.
int finetune_epochs(int64_t train_size) {
  if (train_size < 1'000) return 40;
  if (train_size < 5'000) return 25;
  return train_size < 60'000 ? 15 : 10;
}

}  // namespace

Recipe with_weights(Recipe base, const LoadedNetwork& weights, const Recipe& asked) {
  base.init_checkpoint = weights.origin;
  base.in_channels = 0;
  base.input_size = asked.input_size > 0 ? asked.input_size : weights.config.image_size();
  if (const NestConfig* nest = weights.config.nest()) {
    const std::vector<std::string>& known = variant_names();
    const bool named = std::find(known.begin(), known.end(), nest->variant) != known.end();
    base.model_name = named ? nest->variant : "nest_tiny_s196_224";  // nest.* says the rest
    base.nest = *nest;
    if (base.input_size != nest->image_size)
      base.nest.patch_size = patch_size_for(*nest, base.input_size, weights.origin);
  } else {
    base.model_name = weights.config.variant();
    base.nest = Recipe().nest;
    base.nest.in_channels = weights.config.in_channels();
  }
  base.preprocessing = weights.preprocessing;
  if (asked.in_channels == 1) {
    average(base.preprocessing.mean);
    average(base.preprocessing.std);
  }
  if (has_augmentation_keys(asked) && assumed(weights)) {
    // The recipe then normalises by its data set, as in the official code.
    base.preprocessing.mean.clear();
    base.preprocessing.std.clear();
    base.preprocessing.crop_pct = 0;
  }
  return base;
}

Recipe finetune_recipe(const DataFacts& facts, const LoadedNetwork& weights, const Recipe& asked) {
  Recipe r = default_recipe(facts, weights.config.image_size());
  const Preprocessing own = r.preprocessing;
  r = with_weights(std::move(r), weights, asked);
  if (!asked.eval_only) {  // the photos come from the user's cameras
    r.preprocessing.exif_orientation |= own.exif_orientation;
    if (own.background) r.preprocessing.background = own.background;
  }
  const bool probe =
      std::find(asked.freeze.begin(), asked.freeze.end(), "backbone") != asked.freeze.end();
  r.per_device_batch_size = static_cast<int>(std::clamp<int64_t>(facts.train_size / 4, 1, 32));
  r.num_epochs = finetune_epochs(facts.train_size);
  r.warmup_epochs = 1;
  r.learning_rate = probe ? 1e-2 : 1e-3;
  r.min_learning_rate = r.learning_rate / 100;
  return r;
}

void check_architecture(const Recipe& recipe, const LoadedNetwork& weights) {
  const NestConfig* nest = weights.config.nest();
  const bool both = nest && !is_resnet(recipe.model_name);
  if (!both && recipe.model_name != weights.config.variant())
    throw UsageError(fmt::format("model_name is {}, but {} is a {}", recipe.model_name,
                                 weights.origin, weights.config.variant()),
                     fmt::format("leave model_name out to take {}", weights.config.variant()));
  if (!both) return;
  const auto ours = traits_of(recipe.nest), theirs = traits_of(*nest);
  std::string differences;
  for (size_t i = 0; i < ours.size(); ++i)
    if (ours[i].second != theirs[i].second)
      differences += fmt::format("{}{}: {} here, {} there", differences.empty() ? "" : "; ",
                                 ours[i].first, ours[i].second, theirs[i].second);
  if (!differences.empty())
    throw UsageError(fmt::format("the recipe's model ({}) is not that of {} ({}): {}",
                                 recipe.model_name, weights.origin, nest->variant, differences),
                     fmt::format("set model_name to {} and leave nest.* out, or give other weights",
                                 nest->variant));
}

void check_weights(const Recipe& recipe, const LoadedNetwork& weights) {
  check_ratio(recipe, weights);
  if (recipe.eval_only && !recipe.reinit_head && recipe.num_classes != weights.config.num_classes())
    throw UsageError(
        fmt::format("{} knows {} classes, the data has {}: there is nothing to evaluate",
                    weights.origin, weights.config.num_classes(), recipe.num_classes),
        "name all classes with --class-map; classes that are called as those of the weights are "
        "matched by name");
}

ReinitHead reinit_head_of(const Recipe& recipe) {
  if (!recipe.reinit_head) return ReinitHead::kAuto;
  return *recipe.reinit_head == "random" ? ReinitHead::kRandom : ReinitHead::kZeroAll;
}

HeadPlan plan_head(const Recipe& recipe, const LoadedNetwork& weights,
                   const std::vector<std::string>& classes) {
  const std::vector<std::string> ours = class_labels(classes, recipe.num_classes);
  HeadPlan plan = head_by_number(recipe, weights);
  // An evaluation finds the classes of the head by name itself.
  if (weights.headless || recipe.reinit_head || recipe.eval_only || ours == weights.labels)
    return plan;
  const bool unnamed = names_nothing(weights.labels);
  // Numbers in another order are names, too.
  const bool reordered =
      ours.size() == weights.labels.size() && classes_by_name(ours, weights).has_value();
  if (reordered || (!unnamed && !names_nothing(classes))) return head_by_name(ours, weights);
  if (!replaces_head(weights.config, architecture_of(recipe), ReinitHead::kAuto))
    plan.warning = fmt::format(
        "{}: class by class, in their order, the data's classes take the rows of the head; "
        "--config.reinit_head=zero_all makes a new one",
        unnamed ? weights.origin + " names no classes" : "the data names no classes");
  return plan;
}

TensorMap starting_tensors(const Recipe& recipe, const LoadedNetwork* weights,
                           const std::vector<std::string>& classes) {
  const auto seed = static_cast<uint64_t>(recipe.seed);
  if (!weights) return initial_tensors(architecture_of(recipe), seed);
  return adapt_tensors(*weights, architecture_of(recipe),
                       {.pos_embed = recipe.posembed_resize,
                        .head = reinit_head_of(recipe),
                        .seed = seed,
                        .rows = plan_head(recipe, *weights, classes).rows});
}

}  // namespace nestvit
