// The field list of the recipe, settings over a base, and what the data fills in.
#include "train/recipe.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "train/optim.h"

namespace nestvit::train {
namespace {

Fields fields(AugmentKeys& a) {
  Fields f;
  f.add("type", &a.type, "randaugment, noop (normalises only), or empty");
  f.add("size", &a.size, "image side for translations; 0: input_size");
  f.add("randaugment_num_layers", &a.randaugment_num_layers, "operations per image");
  f.add("randaugment_cutout", &a.randaugment_cutout, "cutout after the operations");
  f.add("randaugment_magnitude", &a.randaugment_magnitude, "strength of the operations");
  f.add("randaugment_magstd", &a.randaugment_magstd, "spread of the strength");
  f.add("randaugment_prob_to_apply", &a.randaugment_prob_to_apply,
        "chance of each operation; null: always");
  f.add("randaugment_num_levels", &a.randaugment_num_levels, "strengths are out of this many");
  return f;
}

Fields fields(ColorJitterKeys& c) {
  Fields f;
  f.add("type", &c.type, "colorjitter, noop (normalises only), or empty");
  f.add("colorjitter_strength", &c.strength,
        "strength of brightness, contrast, saturation and hue changes");
  f.add("size", &c.size, "image side; 0: input_size");
  return f;
}

Fields fields(MixKeys& m) {
  Fields f;
  f.add("mixup_alpha", &m.mixup_alpha, "mixup's parameter; null: no mixup");
  f.add("cutmix_alpha", &m.cutmix_alpha, "cutmix's parameter; null: 1 when mixup_alpha is set");
  f.add("prob_to_apply", &m.prob_to_apply, "share of batches that are mixed");
  f.add("smoothing", &m.smoothing, "label smoothing: share of the label spread over all classes");
  return f;
}

Fields fields(DataKeys& d) {
  Fields f;
  f.add("dir", &d.dir, "the data set's folder or file");
  f.add("train_split", &d.train_split, "name of the split to train on");
  f.add("val_split", &d.val_split, "name of the split to evaluate on");
  f.choice("class_order", &d.class_order,
           {{ClassOrder::kNatural, "natural"}, {ClassOrder::kPlain, "plain"}},
           "natural: class2 before class10; plain: byte order, as torchvision");
  f.add("class_map", &d.class_map, "file with one class name per line, line number = index");
  f.add("val_share", &d.val_share,
        "share of each class kept for evaluation when a folder has no val/");
  f.choice("on_bad_image", &d.on_bad_image,
           {{OnBadImage::kError, "error"}, {OnBadImage::kSkip, "skip"}},
           "stop at an image that cannot be read, or leave it out");
  return f;
}

// Side and channels follow input_size and in_channels, so they are no keys of their own.
Fields preprocessing_fields(Preprocessing& preprocessing) {
  Fields f;
  const Fields all = nestvit::fields(preprocessing);
  for (const Field& field : all.list())
    if (field.key != "image_size" && field.key != "channels")
      f.add(field.key, field.value, field.help);
  return f;
}

void add_optimisation(Fields& f, Recipe& r) {
  f.add("learning_rate", &r.learning_rate, "peak, for a batch of 256; scaled by batch / 256");
  f.add("min_learning_rate", &r.min_learning_rate, "floor after warm-up, scaled likewise");
  f.choice("learning_rate_schedule", &r.learning_rate_schedule,
           {{ScheduleKind::kCosine, "cosine"},
            {ScheduleKind::kLinear, "linear"},
            {ScheduleKind::kConstant, "constant"}},
           "how the learning rate falls after warm-up");
  f.add("warmup_epochs", &r.warmup_epochs, "epochs of linear growth from 0");
  f.add("num_epochs", &r.num_epochs, "passes over the training images");
  f.add("num_train_steps", &r.num_train_steps, "steps in all; -1: from num_epochs");
  f.choice("optim", &r.optim,
           {{Optim::kAdamW, "adamw"}, {Optim::kAdam, "adam"}, {Optim::kSgd, "sgd"}}, "optimiser");
  f.add("optim_wd_ignore", &r.optim_wd_ignore,
        "parameters whose name contains one of these are not decayed");
  f.add("weight_decay", &r.weight_decay,
        "decoupled, times the learning rate (adamw); L2 term of the loss (adam, sgd)");
  f.add("sgd_momentum", &r.sgd_momentum, "Nesterov momentum of sgd");
  f.add("grad_clip_max_norm", &r.grad_clip_max_norm,
        "clip the global gradient norm to this; 0: off");
}

void add_cadence(Fields& f, Recipe& r) {
  f.add("log_loss_every_steps", &r.log_loss_every_steps,
        "steps between training lines in log.jsonl");
  f.add("num_eval_steps", &r.num_eval_steps, "batches per evaluation; -1: all images, each once");
  f.add("eval_every_steps", &r.eval_every_steps,
        "steps between evaluations; -1: by eval_per_epochs");
  f.add("eval_per_epochs", &r.eval_per_epochs,
        "epochs between evaluations, 0.5 = twice per epoch; 0: by eval_every_steps");
  f.add("eval_pad_last_batch", &r.eval_pad_last_batch,
        "read for compatibility: every image always counts once");
  f.add("checkpoint_every_steps", &r.checkpoint_every_steps,
        "steps between checkpoints beside those at evaluations; -1: none");
  f.add("checkpoint_hist", &r.checkpoint_hist,
        "how many of the newest checkpoints stay, beside the best");
  f.add("shuffle_buffer_size", &r.shuffle_buffer_size,
        "read for compatibility: every epoch is fully shuffled");
  f.add("seed", &r.seed, "seed of weights, order, transforms and drop-path");
  f.add("trial", &r.trial, "a number to tell runs apart; changes nothing");
}

bool on(const std::string& type) { return !type.empty() && type != "default" && type != "noop"; }

// The official code normalises when one of these keys is there, whatever its value (reference.md
// D.7).
bool has_augmentation_keys(const Recipe& r) {
  return !r.augment.type.empty() || r.erase_prob.has_value() || !r.colorjitter.type.empty();
}

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
  check_at_least("eval_batch_size", r.eval_batch_size, 0);
  check_at_least("num_epochs", r.num_epochs, 1);
  check_at_least("warmup_epochs", r.warmup_epochs, 0);
  check_at_least("learning_rate", r.learning_rate, 0);
  check_at_least("min_learning_rate", r.min_learning_rate, 0);
  check_at_least("weight_decay", r.weight_decay, 0);
  check_at_least("grad_clip_max_norm", r.grad_clip_max_norm, 0);
  check_at_least("eval_per_epochs", r.eval_per_epochs, 0);
  check_at_least("log_loss_every_steps", static_cast<double>(r.log_loss_every_steps), 1);
  check_at_least("checkpoint_hist", r.checkpoint_hist, 1);
  check_at_least("input_size", r.input_size, 0);
  check_at_least("num_classes", r.num_classes, 0);
  check_at_least("in_channels", r.in_channels, 0);
  check_share("mix.smoothing", r.mix.smoothing);
  check_share("sgd_momentum", r.sgd_momentum);
  if (r.num_train_steps < 1 && r.num_train_steps != -1)
    throw UsageError(
        fmt::format("num_train_steps is {}; it must be at least 1, or -1", r.num_train_steps),
        "-1 takes the number of steps from num_epochs");
  if (r.eval_only)
    throw UsageError("eval_only is not built into train",
                     "use: nestvit eval --model DIR --data-dir DIR");
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
    } else if (facts.kind == "cifar10") {
      p.mean = {.4914, .4822, .4465};
      p.std = {.2471, .2435, .2616};
    } else if (facts.kind == "cifar100") {
      p.mean = {.5071, .4867, .4408};
      p.std = {.2675, .2565, .2761};
    } else {
      p.mean = {.485, .456, .406};
      p.std = {.229, .224, .225};
    }
    if (p.channels == 1) {  // luma: the channels' average, as timm
      p.mean = {(p.mean[0] + p.mean[1] + p.mean[2]) / 3};
      p.std = {(p.std[0] + p.std[1] + p.std[2]) / 3};
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

bool is_cifar(const DataFacts& facts) {
  return facts.kind == "cifar10" || facts.kind == "cifar100";
}

TransformChoice auto_transform(const Recipe& r, const DataFacts& facts) {
  if (is_cifar(facts)) return r.input_size == 32 ? TransformChoice::kPad : TransformChoice::kCrop;
  if (facts.kind == "fashion-mnist") return TransformChoice::kFlip;
  // Other IDX files are mostly characters, which a flip turns into something else.
  if (facts.kind == "idx") return TransformChoice::kNone;
  return TransformChoice::kCrop;
}

}  // namespace

Recipe::Recipe() {
  preprocessing.mean.clear();
  preprocessing.std.clear();
  preprocessing.crop_pct = 0;
  nest = variant(model_name);
}

Fields fields(Recipe& r) {
  Fields f;
  f.add("model_name", &r.model_name, "a variant by name (nestvit inspect NAME)");
  f.add("dataset", &r.dataset,
        "form of the data: folder, cifar10, cifar100, fashion-mnist, idx, csv; empty: recognised");
  f.add("per_device_batch_size", &r.per_device_batch_size, "images per step");
  f.add("eval_batch_size", &r.eval_batch_size,
        "images per evaluation batch; 0: per_device_batch_size");
  f.add("input_size", &r.input_size, "side of the input in pixels; 0: the model's own");
  f.add("in_channels", &r.in_channels, "channels of the input, 1 or 3; 0: the model's own");
  f.add("num_classes", &r.num_classes, "classes of the model; 0: the data's");
  add_optimisation(f, r);
  add_cadence(f, r);
  f.choice("train_transform", &r.train_transform,
           {{TransformChoice::kAuto, "auto"},
            {TransformChoice::kCrop, "crop"},
            {TransformChoice::kPad, "pad"},
            {TransformChoice::kFlip, "flip"},
            {TransformChoice::kNone, "none"}},
           "crop: random box, flip; pad: shift by up to 2 pixels, flip; flip; none; auto: by data "
           "and size");
  f.add("eval_only", &r.eval_only, "not in force: use nestvit eval");
  f.add("init_checkpoint", &r.init_checkpoint, "weights to start from");
  f.add("reinit_head", &r.reinit_head, "zero_all: zero the head of init_checkpoint");
  f.add("resize_posembed", &r.resize_posembed, "new over old image size of init_checkpoint");
  f.add("log_model_profile", &r.log_model_profile, "measure the model before training");
  f.add("augment", fields(r.augment));
  f.add("randerasing.erase_prob", &r.erase_prob, "share of images with a random box erased");
  f.add("colorjitter", fields(r.colorjitter));
  f.add("mix", fields(r.mix));
  f.add("data", fields(r.data));
  f.add("preprocessing", preprocessing_fields(r.preprocessing));
  f.add("nest", nestvit::fields(r.nest));
  return f;
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
    base.nest = variant(seen.model_name);
    base.input_size = 0;
  }
  read(base);
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
  if (r.input_size == 0) r.input_size = r.nest.image_size;
  if (r.in_channels == 0) r.in_channels = r.nest.in_channels;
  if (r.in_channels != 1 && r.in_channels != 3)
    throw UsageError(
        fmt::format("in_channels is {}; images have 1 (grey) or 3 (RGB)", r.in_channels));
  r.nest.image_size = r.preprocessing.image_size = r.input_size;
  r.nest.in_channels = r.preprocessing.channels = r.in_channels;
  r.nest.num_classes = r.num_classes;
  geometry(r.nest);  // throws with advice

  if (r.train_transform == TransformChoice::kAuto) r.train_transform = auto_transform(r, facts);
  if (r.preprocessing.crop_pct == 0) {
    // Small aligned images are evaluated whole; photos lose a border (reference.md D.8).
    const bool whole = facts.kind == "fashion-mnist" || facts.kind == "idx" ||
                       (is_cifar(facts) && r.input_size == 32);
    r.preprocessing.crop_pct = whole ? 1 : 0.875;
  }
  if (!(r.preprocessing.crop_pct > 0 && r.preprocessing.crop_pct <= 1))
    throw UsageError(fmt::format("preprocessing.crop_pct is {}; it must be above 0 and at most 1",
                                 r.preprocessing.crop_pct));
  resolve_normalisation(r, facts);
  if (r.eval_batch_size == 0) r.eval_batch_size = r.per_device_batch_size;
}

DatasetOptions dataset_options(const Recipe& recipe, const std::string& split) {
  DatasetOptions options;
  options.root = recipe.data.dir;
  // The official name of ImageNet says which classes, not how the files lie.
  options.name = recipe.dataset.starts_with("imagenet") ? "" : recipe.dataset;
  options.split = split;
  options.class_order = recipe.data.class_order;
  options.class_map = recipe.data.class_map;
  options.val_share = recipe.data.val_share;
  options.seed = static_cast<uint64_t>(recipe.seed);
  return options;
}

std::vector<std::string> not_in_force(const Recipe& r) {
  std::vector<std::string> keys;
  if (on(r.augment.type)) keys.push_back("augment.type=" + r.augment.type);
  if (r.erase_prob && *r.erase_prob > 0)
    keys.push_back(fmt::format("randerasing.erase_prob={}", *r.erase_prob));
  if (on(r.colorjitter.type)) keys.push_back("colorjitter.type=" + r.colorjitter.type);
  if (r.mix.mixup_alpha && *r.mix.mixup_alpha > 0)
    keys.push_back(fmt::format("mix.mixup_alpha={}", *r.mix.mixup_alpha));
  if (const double cutmix = r.mix.cutmix_alpha.value_or(r.mix.mixup_alpha ? 1 : 0); cutmix > 0)
    keys.push_back(fmt::format("mix.cutmix_alpha={}", cutmix));
  if (!r.init_checkpoint.empty()) keys.push_back("init_checkpoint=" + r.init_checkpoint);
  if (r.reinit_head) keys.push_back("reinit_head=" + *r.reinit_head);
  if (r.resize_posembed != 1) keys.push_back(fmt::format("resize_posembed={}", r.resize_posembed));
  if (r.log_model_profile != 0)
    keys.push_back(fmt::format("log_model_profile={}", r.log_model_profile));
  return keys;
}

std::vector<std::string> locked_keys(Recipe& recipe) {
  std::vector<std::string> locked = {"model_name",
                                     "input_size",
                                     "in_channels",
                                     "num_classes",
                                     "per_device_batch_size",
                                     "optim",
                                     "seed",
                                     "dataset",
                                     "data.train_split",
                                     "data.val_split",
                                     "data.class_order",
                                     "data.val_share"};
  for (const std::string& key : fields(recipe).keys())
    if (key.starts_with("nest.") || key.starts_with("preprocessing.")) locked.push_back(key);
  return locked;
}

std::string digest(Recipe recipe) {
  const Fields f = fields(recipe);
  uint64_t hash =
      0xcbf29ce484222325;  // FNV-1a: tells edited files apart, guards against nothing more
  for (const std::string& key : locked_keys(recipe))
    for (const char c : key + "=" + f.get(key) + "\n")
      hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

StepPlan step_plan(const Recipe& r, int64_t train_size) {
  StepPlan plan;
  plan.total = r.num_train_steps > 0 ? r.num_train_steps
                                     : train_size * r.num_epochs / r.per_device_batch_size;
  plan.per_epoch = plan.total / r.num_epochs;
  if (plan.per_epoch == 0) {
    if (r.num_train_steps > 0)
      throw UsageError(fmt::format("num_train_steps {} is less than one step for each of {} epochs",
                                   r.num_train_steps, r.num_epochs),
                       "lower num_epochs too: the learning rate follows it");
    throw UsageError(fmt::format("{} training images make no full batch of {} in an epoch",
                                 train_size, r.per_device_batch_size),
                     fmt::format("use --batch-size {} or less", std::max<int64_t>(1, train_size)));
  }
  double every = static_cast<double>(r.eval_every_steps);
  if (r.eval_every_steps < 1 || r.eval_per_epochs > 0)
    every = static_cast<double>(plan.per_epoch) * (r.eval_per_epochs > 0 ? r.eval_per_epochs : 1);
  plan.per_evaluation =
      static_cast<int64_t>(std::clamp(every, 1.0, static_cast<double>(plan.total)));
  return plan;
}

}  // namespace nestvit::train
