// From settings to a run that can begin: the recipe resolved, the data open, the weights loaded.
//
//   RunRequest request;
//   request.settings.values = {{"data.dir", "photos"}, {"num_epochs", "20"}};
//   const RunSetup setup = set_up(request, [](const std::string& name, const ImportOptions&
//   options) {
//     return import_network(name, options);
//   });
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "run/recipe/recipe.h"
#include "run/recipe/resolve.h"
#include "weights/import.h"

namespace nestvit {

// What is asked of a run.
struct RunRequest {
  Settings settings;
  std::string named_recipe;  // goes under the settings; empty: none
  // For a step as it is, where the keys are for 256 images; they win over the settings.
  std::optional<double> learning_rate, min_learning_rate, warmup_learning_rate;
  bool prefer_ema = false;       // of init_checkpoint
  std::filesystem::path resume;  // the folder of the run to resume; empty: a new run
};

struct RunSetup {
  Recipe recipe;                         // resolved
  std::unique_ptr<Dataset> train, val;   // train: null for eval_only
  DataFacts facts;                       // of both
  std::optional<LoadedNetwork> weights;  // of init_checkpoint; a resumed run has none
  std::string base;                      // what the settings went over, for people
};

// Loads the network that init_checkpoint names, from wherever it lies.
using FetchNetwork =
    std::function<LoadedNetwork(const std::string& name, const ImportOptions& options)>;

// Throws UsageError for settings that contradict each other, the data, the weights or the run that
// is resumed; Error for files that cannot be read.
RunSetup set_up(const RunRequest& request, const FetchNetwork& fetch);

}  // namespace nestvit
