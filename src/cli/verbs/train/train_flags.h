// The flags of nestvit train: other names for recipe keys, and what is not part of a recipe.
#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/program/verb.h"
#include "run/launch.h"
#include "run/setup.h"

namespace CLI {
class Option;
}

namespace nestvit::cli {

// A flag that is another name for a recipe key, mostly timm's. Its help is the key's.
struct KeyFlag {
  const char* flags;
  const char* key;
  const char* value;  // what the help calls it; null: the names that the key takes
};

// A flag without a value that sets a key.
struct Switch {
  const char* name;
  const char* key;
  const char* value;
};

// All flags that set `key`, as in "-b, --batch-size".
std::string flags_of_key(const std::string& key);

struct TrainArguments {
  std::string dir, data_dir, config, recipe, workdir, exp_id, resume_dir;
  bool resume = false;
  bool resume_auto = false;  // where there is something to resume
  bool help_keys = false;
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

void declare_train_flags(CLI::App& app, TrainArguments& arguments);

// `launch`: the processes that run this. A new run is meant for as many devices unless it says
// otherwise, and a job that was started again resumes from its checkpoint. Throws UsageError for
// arguments that contradict each other.
RunRequest request_of(TrainArguments arguments, const Invocation& invocation,
                      const Launch& launch = {});

// The folder of a new run, named by time, model and size unless the arguments say otherwise.
std::filesystem::path new_workdir(const TrainArguments& arguments, const Recipe& recipe);

// A local path, or a remote name, which is fetched first.
LoadedNetwork fetch_network(const std::string& name, const ImportOptions& options);

// The argument forms of the official programs (absl) in the one that verbs take: --noconfig.KEY and
// a bare --config.KEY of a true-or-false key become --config.KEY=false and =true.
std::vector<std::string> plain_overrides(std::vector<std::string> arguments);

}  // namespace nestvit::cli
