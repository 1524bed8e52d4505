// What nestvit train was asked for, and what follows: the recipe, the data, the weights to start
// from.
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/program/verb.h"
#include "data/dataset.h"
#include "run/launch.h"
#include "run/recipe/recipe.h"
#include "weights/model_dir.h"

namespace CLI {
class Option;
}

namespace nestvit::cli {

// A flag that is another name for a recipe key, mostly timm's.
struct KeyFlag {
  const char* flags;
  const char* key;
  const char* value;
  const char* help;
};

// A flag without a value that sets a key.
struct Switch {
  const char* name;
  const char* key;
  const char* value;
  const char* help;
};

struct TrainArguments {
  std::string dir, data_dir, config, recipe, workdir, exp_id, resume_dir;
  bool resume = false;
  bool linear_probe = false, use_ema = false;
  std::optional<double> lr, min_lr, warmup_lr;  // for the batch itself, not for 256
  int workers = 0;
  int threads = 0;
  int nproc = 0;           // 0: this process alone, or as the launcher says
  int dist_timeout = 600;  // seconds
  std::string device = "cpu";
  std::string dist_backend = "auto";
  bool cuda_graph = false;
  std::deque<std::string> texts;  // what CLI11 writes into; a deque keeps addresses
  std::vector<std::pair<CLI::Option*, const KeyFlag*>> keys;
  std::vector<std::pair<CLI::Option*, const Switch*>> switches;
};

struct Prepared {
  Recipe recipe;
  std::unique_ptr<Dataset> train, val;  // train: null for eval_only
  DataFacts facts;
  std::optional<LoadedNetwork> weights;  // of init_checkpoint, when the run starts from them
  bool resumed = false;
  std::string base;  // where the recipe starts from, for the announcement
  std::filesystem::path workdir;
};

// `launch`: the processes that run this; a new run is meant for as many devices unless it says
// otherwise, and a job that was started again goes on from its checkpoint. Throws UsageError for
// arguments that contradict each other or the data.
Prepared prepare(TrainArguments arguments, const Invocation& invocation, const Launch& launch = {});

}  // namespace nestvit::cli
