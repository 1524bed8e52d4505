// The training recipe: the official YAML keys (reference.md F.8) and ours, one field list. Free of
// libtorch.
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

// The type that autocast computes in (amp.h).
enum class Amp { kNone, kBf16, kFp16, kTf32 };

// How the images of an epoch are drawn (epoch_stream.h).
enum class Sampler { kShuffle, kBalanced };

// augment.*: RandAugment's settings, with its constructor's defaults (reference.md E.1), or timm's
// string as the type.
struct AugmentKeys {
  std::string type;  // empty: absent
  int size = 0;      // 0: input_size
  int randaugment_num_layers = 2;
  bool randaugment_cutout = true;
  std::optional<double> randaugment_magnitude;
  std::optional<double> randaugment_magstd;
  std::optional<double> randaugment_prob_to_apply;
  std::optional<int> randaugment_num_levels = 10;
};

struct ColorJitterKeys {
  std::string type;  // empty: absent
  double strength = 0.3;
  int size = 0;  // 0: input_size
};

struct ErasingKeys {
  std::optional<double> erase_prob;  // unset: absent
  EraseStyle style = EraseStyle::kReference;
  EraseMode mode = EraseMode::kPixel;
  int count = 1;
};

struct MixKeys {
  MixStyle style = MixStyle::kReference;
  std::optional<double> mixup_alpha;   // unset: absent
  std::optional<double> cutmix_alpha;  // unset: 1 once mixup_alpha is set in the reference's style
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
  int64_t shuffle_window = 0;  // 0: the whole epoch
  bool jpeg_scaled = false;
  bool jpeg_round_trip = true;  // reference.md D.6
};

// Keys keep the official names and meanings; defaults are the official configs' where they agree.
struct Recipe {
  Recipe();

  std::string model_name = "nest_tiny_s16_32";
  std::string dataset;  // as DatasetOptions::name
  int per_device_batch_size = 192;
  int eval_batch_size = 0;        // 0: per_device_batch_size
  double learning_rate = 2.5e-4;  // for a batch of 256; scaled linearly
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
  int grad_accum_steps = 1;  // batches of each device per optimiser step
  int num_devices = 1;       // that the run is meant for, whatever processes compute it
  bool sync_bn = false;      // batch norm's statistics over all processes
  Amp amp = Amp::kNone;
  bool grad_checkpointing = false;
  bool model_ema = false;
  double model_ema_decay = 0.9998;
  bool model_ema_warmup = false;
  int64_t log_loss_every_steps = 500;
  int64_t eval_every_steps = -1;
  double eval_per_epochs = 0;  // epochs per evaluation (the official name); 0: unset
  int patience = 0;            // evaluations without a better top-1 that end the run; 0: none do
  double min_delta = 0;        // what counts as better, in per cent
  int64_t checkpoint_every_steps = 5000;
  int checkpoint_hist = 3;
  int shuffle_buffer_size = 0;
  int64_t seed = 42;
  int trial = 0;
  int input_size = 0;   // 0: the model's own
  int in_channels = 0;  // 0: the model's own
  int num_classes = 0;  // 0: the dataset's
  TransformChoice train_transform = TransformChoice::kAuto;
  bool eval_only = false;
  std::string init_checkpoint;
  std::optional<std::string> reinit_head;
  double resize_posembed = 1;
  PosEmbedResize posembed_resize = PosEmbedResize::kAuto;
  std::vector<std::string> freeze;  // beginnings of parameter names, or "backbone"
  double layer_decay = 1;
  int log_model_profile = 0;
  AugmentKeys augment;
  ErasingKeys randerasing;
  ColorJitterKeys colorjitter;
  MixKeys mix;
  DataKeys data;
  Preprocessing preprocessing;  // empty mean and std, crop_pct 0: by dataset
  NestConfig nest;              // "nest.*": the named model with its overrides
};

Fields fields(Recipe& recipe);

// Batches per optimiser step: grad_accum_steps x num_devices. Each is drawn, mixed and normalised
// by itself, whichever process computes it.
int64_t step_batches(const Recipe& recipe);
// Images per optimiser step: per_device_batch_size x step_batches. The learning rate is scaled by
// it, and steps are counted in it.
int64_t step_images(const Recipe& recipe);

// What the user asked for: a YAML file, and KEY=TEXT settings over it, in order.
struct Settings {
  std::filesystem::path file;  // empty: none
  std::vector<std::pair<std::string, std::string>> values;
  bool empty() const { return file.empty() && values.empty(); }
};

// `base` with the settings over it. Another model_name than the base's replaces nest.* and
// input_size by that model's own before any other key is read; in a base that starts from weights
// (init_checkpoint) the image size, GELU, pooling and norm stay the weights'. Another
// number of epochs shortens a warm-up that the settings do not ask for to a fifth of them.
Recipe apply(Recipe base, const Settings& settings);

// The official code normalises when one of augment, randerasing and colorjitter is there, whatever
// its value (reference.md D.7).
bool has_augmentation_keys(const Recipe& recipe);

// "cifar10" or "cifar100" for a Dataset::kind() of either form, raw files or TFDS's; else "".
std::string cifar_name(const std::string& kind);

// The network of a resolved recipe: model_name with nest.*, or a baseline.
Architecture network(const Recipe& recipe);

// What the data says about itself; makes the defaults of a user's own folder.
struct DataFacts {
  std::string kind;  // Dataset::kind()
  int64_t train_size = 0;
  int64_t val_size = 0;
  int num_classes = 0;
  int short_side = 0;  // median over a sample of training images, in pixels
};
DataFacts data_facts(const Dataset& train, const Dataset& val);

// The recipe for data that came without --config; docs/training.md has the table and the reasons.
// `input_size`: what the user asked for, or 0.
Recipe default_recipe(const DataFacts& facts, int input_size);

// Names for --recipe: how to train, whatever the model and the data.
const std::vector<std::string>& preset_names();
// The settings of preset `name`, to go over a base and under the user's. Throws UsageError for an
// unknown name.
std::vector<std::pair<std::string, std::string>> preset(const std::string& name);

// Fills in what is open and checks what is not. Throws UsageError that names the key.
void resolve(Recipe& recipe, const DataFacts& facts);

DatasetOptions dataset_options(const Recipe& recipe, const std::string& split);

// Keys that a resumed run must keep, since weights, optimiser state or the order of the data hang
// on them.
std::vector<std::string> locked_keys(Recipe& recipe);
// A fingerprint of the locked keys' values.
std::string digest(Recipe recipe);

// Steps of the run, by the reference's arithmetic (reference.md F.3): partial batches straddle
// epoch borders. Steps that remain after the last whole epoch or evaluation interval belong to the
// last one.
struct StepPlan {
  int64_t total = 0;
  int64_t per_epoch = 0;
  int64_t per_evaluation = 0;
  int epochs = 1;

  bool epoch_ends(int64_t step) const { return ends(step, per_epoch); }
  bool evaluation_ends(int64_t step) const { return ends(step, per_evaluation); }
  // Epochs done after `step`: step / per_epoch, but in the last epoch a share of all its steps, so
  // that the last step makes `epochs`.
  double epoch(int64_t step) const;

 private:
  bool ends(int64_t step, int64_t interval) const {
    return step == total || (step > 0 && step % interval == 0 && step + interval <= total);
  }
};
StepPlan step_plan(const Recipe& recipe, int64_t train_size);
// The learning rate of every step. Throws as Schedule::check().
Schedule schedule_of(const Recipe& recipe, const StepPlan& plan);

}  // namespace nestvit
