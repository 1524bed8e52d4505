// Settings over a base, what the data fills in, and what follows from a recipe.
#include "run/recipe/recipe.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/hash.h"
#include "run/input/augmentation.h"
#include "run/recipe/freeze.h"

namespace nestvit {
namespace {

// warmup_epochs that no setting touched: no number that a user would write.
constexpr double kOpen = std::numeric_limits<double>::lowest();

void check_at_least(const char* key, double value, double low) {
  if (!(value >= low))
    throw UsageError(fmt::format("{} is {}; it must be at least {}", key, value, low));
}

void check_share(const char* key, double value) {
  if (!(value >= 0 && value < 1))
    throw UsageError(fmt::format("{} is {}; it must be at least 0 and below 1", key, value));
}

void check_numbers(const Recipe& r) {
  check_at_least("per_device_batch_size", r.per_device_batch_size, 1);
  check_at_least("grad_accum_steps", r.grad_accum_steps, 1);
  check_at_least("num_devices", r.num_devices, 1);
  check_at_least("eval_batch_size", r.eval_batch_size, 0);
  check_at_least("num_epochs", r.num_epochs, 1);
  check_at_least("warmup_epochs", r.warmup_epochs, 0);
  check_at_least("learning_rate", r.learning_rate, 0);
  check_at_least("min_learning_rate", r.min_learning_rate, 0);
  check_at_least("warmup_learning_rate", r.warmup_learning_rate, 0);
  check_at_least("patience", r.patience, 0);
  check_at_least("min_delta", r.min_delta, 0);
  check_at_least("opt_eps", r.opt_eps, 0);
  check_at_least("weight_decay", r.weight_decay, 0);
  check_at_least("grad_clip_max_norm", r.grad_clip_max_norm, 0);
  check_at_least("eval_per_epochs", r.eval_per_epochs, 0);
  check_at_least("log_loss_every_steps", static_cast<double>(r.log_loss_every_steps), 1);
  check_at_least("checkpoint_hist", r.checkpoint_hist, 1);
  check_at_least("input_size", r.input_size, 0);
  check_at_least("num_classes", r.num_classes, 0);
  check_at_least("in_channels", r.in_channels, 0);
  check_at_least("data.shuffle_window", static_cast<double>(r.data.shuffle_window), 0);
  if (r.data.shuffle_window > 0 && r.data.sampler == Sampler::kBalanced)
    throw UsageError("data.shuffle_window and data.sampler=balanced are two orders of the images",
                     "leave one of them out");
  check_share("mix.smoothing", r.mix.smoothing);
  check_share("sgd_momentum", r.sgd_momentum);
  check_share("model_ema_decay", r.model_ema_decay);
  if (r.opt_betas.size() != 2)
    throw UsageError(fmt::format("opt_betas has {} numbers", r.opt_betas.size()),
                     "give two, as in [0.9, 0.999]");
  for (const double beta : r.opt_betas) check_share("opt_betas", beta);
  if (r.num_train_steps < 1 && r.num_train_steps != -1)
    throw UsageError(
        fmt::format("num_train_steps is {}; it must be at least 1, or -1", r.num_train_steps),
        "-1 takes the number of steps from num_epochs");
}

int own_size(const Recipe& r) {
  return is_resnet(r.model_name) ? resnet(r.model_name).image_size : r.nest.image_size;
}

// A baseline has nothing of what nest.* sets; sizes there follow other keys.
void check_baseline(const Recipe& recipe) {
  if (!is_resnet(recipe.model_name)) return;
  Recipe ours = recipe, plain;
  const Fields set = fields(ours.nest), unset = fields(plain.nest);
  for (const std::string& key : set.keys())
    if (set.get(key) != unset.get(key))
      throw UsageError(
          fmt::format("nest.{} is {}, but {} is no NesT", key, set.get(key), recipe.model_name),
          "leave nest.* out, or choose another model_name");
  if (recipe.resize_posembed != 1)
    throw UsageError(
        fmt::format("resize_posembed: {} has no position embeddings", recipe.model_name),
        "leave it out");
}

// Keys about weights that the run starts from.
void check_finetuning(const Recipe& r) {
  if (r.reinit_head && *r.reinit_head != "zero_all" && *r.reinit_head != "random")
    throw UsageError(fmt::format("reinit_head is {}", *r.reinit_head),
                     "zero_all: a head of zeros; random: drawn anew; null: only when the number "
                     "of classes changes");
  if (!(r.layer_decay > 0 && r.layer_decay <= 1))
    throw UsageError(
        fmt::format("layer_decay is {}; it must be above 0 and at most 1", r.layer_decay),
        "0.75 is common for fine-tuning, 1 is off");
  if (!(r.resize_posembed > 0))
    throw UsageError(fmt::format("resize_posembed is {}; it must be above 0", r.resize_posembed));
  check_freeze(r.freeze, network(r));
  if (!r.init_checkpoint.empty()) return;
  const char* lonely = r.eval_only              ? "eval_only"
                       : r.reinit_head          ? "reinit_head"
                       : r.resize_posembed != 1 ? "resize_posembed"
                       : !r.freeze.empty()      ? "freeze"
                                                : nullptr;
  if (lonely)
    throw UsageError(fmt::format("{} needs weights to start from", lonely),
                     "give them: --initial-checkpoint PATH, or the key init_checkpoint");
}

void resolve_normalisation(Recipe& r, const DataFacts& facts) {
  Preprocessing& p = r.preprocessing;
  if (p.mean.empty() != p.std.empty())
    throw UsageError("preprocessing.mean and preprocessing.std come together",
                     "give both, or neither");
  if (p.mean.empty()) {
    if (!has_augmentation_keys(r)) {  // the official code leaves such images in [0, 1]
      p.mean = {0, 0, 0};
      p.std = {1, 1, 1};
    } else {
      set_normalisation(p, cifar_name(facts.kind));
    }
  }
  // One number serves all channels of an image that was grey.
  if (p.mean.size() == 1) p.mean.resize(p.channels, p.mean[0]);
  if (p.std.size() == 1) p.std.resize(p.channels, p.std[0]);
  if (p.mean.size() != static_cast<size_t>(p.channels) ||
      p.std.size() != static_cast<size_t>(p.channels))
    throw UsageError(
        fmt::format("preprocessing.mean and std have {} and {} numbers for {} channels",
                    p.mean.size(), p.std.size(), p.channels),
        "give one number per channel");
  for (double s : p.std)
    if (!(s > 0))
      throw UsageError(fmt::format("preprocessing.std holds {}; it must be above 0", s));
}

TransformChoice auto_transform(const Recipe& r, const DataFacts& facts) {
  if (!cifar_name(facts.kind).empty())
    return r.input_size == 32 ? TransformChoice::kPad : TransformChoice::kCrop;
  if (facts.kind == "fashion-mnist") return TransformChoice::kFlip;
  // Other IDX files are mostly characters, which a flip turns into something else.
  if (facts.kind == "idx") return TransformChoice::kNone;
  return r.preprocessing.resampler == Resampler::kPil ? TransformChoice::kRrc
                                                      : TransformChoice::kCrop;
}

}  // namespace

bool has_augmentation_keys(const Recipe& r) {
  return !r.augment.type.empty() || r.randerasing.erase_prob.has_value() ||
         !r.colorjitter.type.empty();
}

Architecture network(const Recipe& r) {
  if (!is_resnet(r.model_name)) return r.nest;
  ResNetConfig config = resnet(r.model_name);
  config.image_size = r.input_size;
  config.in_channels = r.in_channels;
  config.num_classes = r.num_classes;
  return config;
}

std::string cifar_name(const std::string& kind) {
  for (const char* name : {"cifar10", "cifar100"})
    if (kind == name || kind.starts_with(fmt::format("tfds {}/", name))) return name;
  return "";
}

Recipe::Recipe() {
  preprocessing.mean.clear();
  preprocessing.std.clear();
  preprocessing.crop_pct = 0;
  nest = variant(model_name);
}

Recipe apply(Recipe base, const Settings& settings) {
  const auto read = [&](Recipe& into) {
    Fields f = fields(into);
    if (!settings.file.empty()) f.load_yaml(settings.file);
    for (const auto& [key, text] : settings.values) f.set(key, text);
  };
  Recipe seen = base;
  read(seen);
  if (seen.model_name != base.model_name) {
    const Architecture named = architecture(seen.model_name);
    const NestConfig before =
        std::exchange(base.nest, named.nest() ? *named.nest() : Recipe().nest);
    if (base.init_checkpoint.empty() || named.resnet()) {
      base.input_size = 0;
    } else {  // a name says nothing about what the weights were trained with
      base.nest.image_size = before.image_size;
      base.nest.patch_size = before.patch_size;
      base.nest.in_channels = before.in_channels;
      base.nest.norm_type = before.norm_type;
      base.nest.gelu = before.gelu;
      base.nest.pool_padding = before.pool_padding;
    }
  }
  const double warmup = std::exchange(base.warmup_epochs, kOpen);
  const int epochs = base.num_epochs;
  read(base);
  if (base.warmup_epochs == kOpen)
    base.warmup_epochs =
        base.num_epochs == epochs ? warmup : std::min(warmup, base.num_epochs / 5.0);
  base.nest.variant = base.model_name;
  return base;
}

void resolve(Recipe& r, const DataFacts& facts) {
  check_numbers(r);
  if (r.num_classes == 0) r.num_classes = facts.num_classes;
  if (r.num_classes < facts.num_classes)
    throw UsageError(fmt::format("num_classes is {}, but the data has {} classes", r.num_classes,
                                 facts.num_classes),
                     "leave num_classes out: it is taken from the data");
  check_baseline(r);
  if (r.input_size == 0) r.input_size = own_size(r);
  if (r.in_channels == 0) r.in_channels = r.nest.in_channels;
  if (r.in_channels != 1 && r.in_channels != 3)
    throw UsageError(
        fmt::format("in_channels is {}; images have 1 (grey) or 3 (RGB)", r.in_channels));
  r.nest.image_size = r.preprocessing.image_size = r.input_size;
  r.nest.in_channels = r.preprocessing.channels = r.in_channels;
  r.nest.num_classes = r.num_classes;
  check_sizes(network(r));  // throws with advice
  check_finetuning(r);

  if (r.train_transform == TransformChoice::kAuto) r.train_transform = auto_transform(r, facts);
  if (r.preprocessing.crop_pct == 0) {
    // Small aligned images are evaluated whole; photos lose a border (reference.md D.8).
    const bool whole = facts.kind == "fashion-mnist" || facts.kind == "idx" ||
                       (!cifar_name(facts.kind).empty() && r.input_size == 32);
    r.preprocessing.crop_pct = whole ? 1 : 0.875;
  }
  if (!(r.preprocessing.crop_pct > 0 && r.preprocessing.crop_pct <= 1))
    throw UsageError(fmt::format("preprocessing.crop_pct is {}; it must be above 0 and at most 1",
                                 r.preprocessing.crop_pct));
  resolve_normalisation(r, facts);
  if (r.eval_batch_size == 0) r.eval_batch_size = r.per_device_batch_size;
  Augmentation(augment_settings(r), static_cast<uint64_t>(r.seed));  // both throw for what makes no
  mix_settings(r);                                                   // sense
}

DatasetOptions dataset_options(const Recipe& recipe, const std::string& split) {
  DatasetOptions options;
  options.root = recipe.data.dir;
  // The official code takes any such name for ImageNet (reference.md D.1).
  options.name = recipe.dataset.starts_with("imagenet") ? "imagenet" : recipe.dataset;
  options.split = split;
  options.class_order = recipe.data.class_order;
  options.class_map = recipe.data.class_map;
  options.labels_file = recipe.data.labels;
  options.val_share = recipe.data.val_share;
  options.seed = static_cast<uint64_t>(recipe.seed);
  return options;
}

std::vector<std::string> locked_keys(Recipe& recipe) {
  std::vector<std::string> locked = {"model_name",
                                     "input_size",
                                     "in_channels",
                                     "num_classes",
                                     "per_device_batch_size",
                                     "grad_accum_steps",
                                     "num_devices",
                                     "amp",
                                     "model_ema",
                                     "model_ema_decay",
                                     "model_ema_warmup",
                                     "optim",
                                     "seed",
                                     "dataset",
                                     "data.train_split",
                                     "data.val_split",
                                     "data.class_order",
                                     "data.val_share",
                                     "data.sampler",
                                     "freeze"};
  // Where it is not asked for, runs from before it was there keep their digest.
  if (recipe.data.shuffle_window != 0) locked.emplace_back("data.shuffle_window");
  for (const std::string& key : fields(recipe).keys())
    if (key.starts_with("nest.") || key.starts_with("preprocessing.")) locked.push_back(key);
  return locked;
}

std::string digest(Recipe recipe) {
  const Fields f = fields(recipe);
  std::string text;
  for (const std::string& key : locked_keys(recipe)) {
    if (key == "num_devices") continue;  // RunState's batch_size tells; older runs have no such key
    text += key + "=" + f.get(key) + "\n";
  }
  return fmt::format("{:016x}", fnv1a(text));
}

int64_t step_batches(const Recipe& r) { return int64_t{r.grad_accum_steps} * r.num_devices; }

int64_t step_images(const Recipe& r) { return r.per_device_batch_size * step_batches(r); }

StepPlan step_plan(const Recipe& r, int64_t train_size) {
  StepPlan plan;
  plan.total =
      r.num_train_steps > 0 ? r.num_train_steps : train_size * r.num_epochs / step_images(r);
  plan.epochs = r.num_epochs;
  plan.per_epoch = plan.total / r.num_epochs;
  if (plan.per_epoch == 0) {
    if (r.num_train_steps > 0)
      throw UsageError(fmt::format("num_train_steps {} is less than one step for each of {} epochs",
                                   r.num_train_steps, r.num_epochs),
                       "lower num_epochs too: the learning rate follows it");
    throw UsageError(fmt::format("{} training images make no full batch of {} in an epoch",
                                 train_size, step_images(r)),
                     fmt::format("use --batch-size {} or less{}",
                                 std::max<int64_t>(1, train_size / step_batches(r)),
                                 r.grad_accum_steps > 1 ? ", or fewer --grad-accum-steps"
                                 : r.num_devices > 1    ? ", or fewer processes"
                                                        : ""));
  }
  double every = static_cast<double>(r.eval_every_steps);
  if (r.eval_every_steps < 1 || r.eval_per_epochs > 0)
    every = static_cast<double>(plan.per_epoch) * (r.eval_per_epochs > 0 ? r.eval_per_epochs : 1);
  plan.per_evaluation =
      static_cast<int64_t>(std::clamp(every, 1.0, static_cast<double>(plan.total)));
  return plan;
}

double StepPlan::epoch(int64_t step) const {
  const int64_t last = (epochs - 1) * per_epoch;  // where the last epoch begins
  if (step <= last) return static_cast<double>(step) / static_cast<double>(per_epoch);
  return epochs - 1 + static_cast<double>(step - last) / static_cast<double>(total - last);
}

Schedule schedule_of(const Recipe& r, const StepPlan& plan) {
  const double scale = static_cast<double>(step_images(r)) / 256;
  Schedule schedule;
  schedule.kind = r.learning_rate_schedule;
  schedule.base = r.learning_rate * scale;
  schedule.minimum = r.min_learning_rate * scale;
  schedule.warmup = r.warmup_learning_rate * scale;
  schedule.steps_per_epoch = plan.per_epoch;
  schedule.warmup_epochs = r.warmup_epochs;
  schedule.num_epochs = r.num_epochs;
  schedule.check();
  return schedule;
}

}  // namespace nestvit
