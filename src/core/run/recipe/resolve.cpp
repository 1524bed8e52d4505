// What the data fills in, the checks of every key, and what a resumed run must keep.
#include "run/recipe/resolve.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "image/codecs/codec.h"
#include "run/recipe/augmentation.h"
#include "run/recipe/freeze.h"
#include "run/recipe/plan.h"

namespace nestvit {
namespace {

constexpr int64_t kProbedImages = 33;  // enough for a median that an odd thumbnail does not move

int short_side_of(const Sample& sample) {
  if (sample.encoded.empty()) return std::min(sample.image.height, sample.image.width);
  const ImageInfo info = probe_image(sample.encoded, sample.name);
  return std::min(info.height, info.width);
}

void check_at_least(const char* key, double value, double low) {
  if (!(value >= low))
    throw UsageError(fmt::format("{} is {}; it must be at least {}", key, value, low));
}

void check_share(const char* key, double value) {
  if (!(value >= 0 && value < 1))
    throw UsageError(fmt::format("{} is {}; it must be at least 0 and below 1", key, value));
}

void check_step(const Recipe& r) {
  constexpr double kMost = int64_t{1} << 31;  // images
  if (static_cast<double>(r.per_device_batch_size) * static_cast<double>(step_batches(r)) > kMost)
    throw UsageError(fmt::format("a step of per_device_batch_size {} x grad_accum_steps {} x "
                                 "num_devices {} images is too large",
                                 r.per_device_batch_size, r.grad_accum_steps, r.num_devices),
                     fmt::format("a step has at most {:.0f} images", kMost));
}

void check_numbers(const Recipe& r) {
  check_at_least("per_device_batch_size", r.per_device_batch_size, 1);
  check_at_least("grad_accum_steps", r.grad_accum_steps, 1);
  check_at_least("num_devices", r.num_devices, 1);
  check_step(r);
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

// nest.* does not apply to a baseline, whose sizes follow other keys.
void check_baseline(const Recipe& recipe) {
  if (!is_resnet(recipe.model_name)) return;
  Recipe ours = recipe, plain;
  const Fields set = fields(ours.nest), unset = fields(plain.nest);
  for (const std::string& key : set.keys())
    if (set.get(key) != unset.get(key))
      throw UsageError(
          fmt::format("nest.{} is {}, but {} is not a NesT", key, set.get(key), recipe.model_name),
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
                     "zero_all: a head of zeros; random: drawn anew; null: only rows of classes "
                     "that the weights do not know");
  if (!(r.layer_decay > 0 && r.layer_decay <= 1))
    throw UsageError(
        fmt::format("layer_decay is {}; it must be above 0 and at most 1", r.layer_decay),
        "0.75 is common for fine-tuning, 1 is off");
  if (!(r.resize_posembed > 0))
    throw UsageError(fmt::format("resize_posembed is {}; it must be above 0", r.resize_posembed));
  check_freeze(r.freeze, architecture_of(r));
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

DataFacts data_facts(const Dataset& train, const Dataset& val) {
  DataFacts facts;
  facts.kind = train.kind();
  facts.train_size = train.size();
  facts.val_size = val.size();
  facts.num_classes = static_cast<int>(train.classes().size());
  std::vector<int> sides;
  const int64_t probed = std::min(kProbedImages, train.size());
  for (int64_t i = 0; i < probed; ++i) {
    try {
      sides.push_back(short_side_of(train.get(i * train.size() / probed)));
    } catch (const Error&) {
      // The loader reports a broken image, or skips it.
    }
  }
  if (!sides.empty()) {
    std::nth_element(sides.begin(), sides.begin() + sides.size() / 2, sides.end());
    facts.short_side = sides[sides.size() / 2];
  }
  return facts;
}

bool has_augmentation_keys(const Recipe& r) {
  return !r.augment.type.empty() || r.randerasing.erase_prob.has_value() ||
         !r.colorjitter.type.empty();
}

Architecture architecture_of(const Recipe& r) {
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
  check_sizes(architecture_of(r));  // throws with advice
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
  // Both throw for settings that make no sense.
  static_cast<void>(Augmentation(augment_settings(r), static_cast<uint64_t>(r.seed)));
  mix_settings(r);
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
  // Not locked at its default, so that runs from before the key existed keep their digest.
  if (recipe.data.shuffle_window != 0) locked.emplace_back("data.shuffle_window");
  for (const std::string& key : fields(recipe).keys())
    if (key.starts_with("nest.") || key.starts_with("preprocessing.")) locked.push_back(key);
  return locked;
}

std::string digest(Recipe recipe) {
  const Fields f = fields(recipe);
  std::string text;
  for (const std::string& key : locked_keys(recipe)) {
    if (key == "num_devices") continue;  // in RunState's batch_size; older runs lack the key
    text += key + "=" + f.get(key) + "\n";
  }
  return fmt::format("{:016x}", fnv1a(text));
}

}  // namespace nestvit
