// The training recipe: the official YAML keys (reference.md F.8) and ours, one field list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/fields.h"
#include "core/model/nest.h"
#include "train/optim.h"
#include "train/schedule.h"

namespace nestvit::train {

// Keys keep the official names and meanings; defaults are the official configs' where they agree.
struct Recipe {
  std::string model_name = "nest_tiny_s16_32";
  std::string dataset;                 // as DatasetOptions::name
  int per_device_batch_size = 192;
  int eval_batch_size = 0;             // 0: per_device_batch_size
  double learning_rate = 2.5e-4;       // for a batch of 256; scaled linearly
  double min_learning_rate = 0;
  ScheduleKind learning_rate_schedule = ScheduleKind::kCosine;
  double warmup_epochs = 5;
  int num_epochs = 300;
  int64_t num_train_steps = -1;
  int64_t num_eval_steps = -1;
  Optim optim = Optim::kAdamW;
  std::vector<std::string> optim_wd_ignore = {"pos_embedding"};
  double weight_decay = 0.05;
  double sgd_momentum = 0.9;
  double grad_clip_max_norm = 0;
  int64_t log_loss_every_steps = 500;
  int64_t eval_every_steps = -1;
  double eval_per_epochs = 1;          // epochs per evaluation (the official name)
  int64_t checkpoint_every_steps = 5000;
  int64_t seed = 42;
  int input_size = 0;                  // 0: the model's own
  int num_classes = 0;                 // 0: the dataset's
  double smoothing = 0;                // "mix.smoothing" in the official files
  std::string train_transform = "auto";  // crop | pad | flip | none | auto (by dataset and size)
  NestConfig nest;                     // "nest.*": overrides of the named model
};

Fields fields(Recipe& recipe);

}  // namespace nestvit::train
