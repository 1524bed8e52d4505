// The training recipe: the official YAML keys (reference.md F.8) and ours, one field list.
//
// A run's recipe is made in three steps: a base (the official defaults, default_recipe() for a
// user's own data, or config.yaml of a run that is resumed), the user's settings over it (apply),
// and what is still open filled in from the data (resolve). The resolved recipe is written to
// WORKDIR/config.yaml and reads back as itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "image/augment/erase.h"
#include "image/augment/mix.h"
#include "model/architecture.h"
#include "model/preprocessing.h"
#include "run/recipe/schedule.h"
#include "weights/posembed.h"

namespace nestvit {

enum class Optim { kAdamW, kAdam, kSgd };

// How training images are drawn (image/transform.h); kAuto: by dataset and size.
enum class TransformChoice { kAuto, kCrop, kRrc, kPad, kFlip, kNone };

// The type that autocast computes in (train/optim/amp.h).
enum class Amp { kNone, kBf16, kFp16, kTf32 };

// How the images of an epoch are drawn (run/input/order.h).
enum class Sampler { kShuffle, kBalanced };

// augment.*: RandAugment's settings, with its constructor's defaults (reference.md E.1), or timm's
// string as the type.
struct AugmentKeys {
  std::string type;
  int size = 0;
  int randaugment_num_layers = 2;
  bool randaugment_cutout = true;
  std::optional<double> randaugment_magnitude;
  std::optional<double> randaugment_magstd;
  std::optional<double> randaugment_prob_to_apply;
  std::optional<int> randaugment_num_levels = 10;
};

struct ColorJitterKeys {
  std::string type;
  double strength = 0.3;
  int size = 0;
};

struct ErasingKeys {
  std::optional<double> erase_prob;
  EraseStyle style = EraseStyle::kReference;
  EraseMode mode = EraseMode::kPixel;
  int count = 1;
};

struct MixKeys {
  MixStyle style = MixStyle::kReference;
  std::optional<double> mixup_alpha;
  std::optional<double> cutmix_alpha;
  double prob_to_apply = 1;
  double switch_prob = 0.5;
  double smoothing = 0;
};

// Where the data is and how it is read; `dataset` names its form.
struct DataKeys {
  std::string dir;
  std::string train_split = "train";
  std::string val_split = "val";
  ClassOrder class_order = ClassOrder::kNatural;
  std::string class_map;
  std::string labels;
  double val_share = 0.2;
  OnBadImage on_bad_image = OnBadImage::kError;
  Sampler sampler = Sampler::kShuffle;
  int64_t shuffle_window = 0;
  bool jpeg_scaled = false;
  bool jpeg_round_trip = true;
};

// Keys keep the official names and meanings; defaults are the official configs' where they agree.
// What a key means is its help in fields.cpp.
struct Recipe {
  Recipe();

  std::string model_name = "nest_tiny_s16_32";
  std::string dataset;
  int per_device_batch_size = 192;
  int eval_batch_size = 0;
  double learning_rate = 2.5e-4;
  double min_learning_rate = 0;
  double warmup_learning_rate = 0;
  ScheduleKind learning_rate_schedule = ScheduleKind::kCosine;
  double warmup_epochs = 5;
  int num_epochs = 300;
  int64_t num_train_steps = -1;
  int64_t num_eval_steps = -1;
  bool eval_pad_last_batch = true;
  Optim optim = Optim::kAdamW;
  std::vector<std::string> optim_wd_ignore = {"pos_embedding"};
  double weight_decay = 0.05;
  bool weight_decay_exclude_1d = false;
  double opt_eps = 1e-8;
  std::vector<double> opt_betas = {0.9, 0.999};
  double sgd_momentum = 0.9;
  double grad_clip_max_norm = 0;
  int grad_accum_steps = 1;
  int num_devices = 1;
  bool sync_bn = false;
  Amp amp = Amp::kNone;
  bool grad_checkpointing = false;
  bool model_ema = false;
  double model_ema_decay = 0.9998;
  bool model_ema_warmup = false;
  int64_t log_loss_every_steps = 500;
  int64_t eval_every_steps = -1;
  double eval_per_epochs = 0;
  int patience = 0;
  double min_delta = 0;
  int64_t checkpoint_every_steps = 5000;
  int checkpoint_hist = 3;
  int shuffle_buffer_size = 0;
  int64_t seed = 42;
  int trial = 0;
  // Open until resolve() fills them in: 0, kAuto, and in preprocessing an empty mean and std and a
  // crop_pct of 0.
  int input_size = 0;
  int in_channels = 0;
  int num_classes = 0;
  TransformChoice train_transform = TransformChoice::kAuto;
  bool eval_only = false;
  std::string init_checkpoint;
  std::optional<std::string> reinit_head;
  double resize_posembed = 1;
  PosEmbedResize posembed_resize = PosEmbedResize::kAuto;
  std::vector<std::string> freeze;
  double layer_decay = 1;
  int log_model_profile = 0;
  AugmentKeys augment;
  ErasingKeys randerasing;
  ColorJitterKeys colorjitter;
  MixKeys mix;
  DataKeys data;
  Preprocessing preprocessing;
  NestConfig nest;  // the named model with its overrides
};

Fields fields(Recipe& recipe);

// What the user asked for: a YAML file, and KEY=TEXT settings over it, in order.
struct Settings {
  using Values = std::vector<std::pair<std::string, std::string>>;

  Settings() = default;
  // Reads `file`, unless that is empty, here and never again. Throws Error when it cannot be read.
  Settings(const std::filesystem::path& file, Values over_it);

  std::string origin, yaml;  // the file's name and text; empty: none
  Values values;
};

// `base` with the settings over it. A model_name replaces nest.* and input_size by that
// model's own before any other key is read; in a base that starts from weights (init_checkpoint)
// the image size, GELU, pooling and norm stay the weights', and its own name changes nothing.
// Another number of epochs shortens a warm-up that the settings do not ask for to a fifth of them.
Recipe apply(Recipe base, const Settings& settings);

// Makes the paths of data and weights absolute, so that config.yaml of a run holds where anywhere
// on this machine. Relative ones count from the current folder, in files as on the command line; ~/
// is the home folder; addresses (hf://...) stay.
void make_paths_absolute(Recipe& recipe);

}  // namespace nestvit
