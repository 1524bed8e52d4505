// The training run: steps, evaluations, logs and checkpoints, from a resolved recipe. Free of
// libtorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "run/recipe/recipe.h"
#include "train/group/group.h"
#include "weights/model_dir.h"

namespace nestvit::train {

struct TrainOptions {
  std::filesystem::path workdir;
  bool resume = false;
  int workers = 2;             // threads that read and transform images
  int threads = 0;             // compute threads; 0: as thread_count() says
  std::string device = "cpu";  // where the network computes: cpu, cuda, cuda:I (device/device.h)
  bool cuda_graph = false;     // record the forward and backward of whole batches (device/graph.h)
  // The signal that asks the run to save and stop, or 0; read between steps.
  std::function<int()> stop = [] { return 0; };
  // The weights that init_checkpoint names; a resumed run does not use them.
  const LoadedNetwork* weights = nullptr;
  const Group* group = &Group::alone();  // the processes that run this together
};

struct TrainResult {
  int64_t step = 0;
  bool finished = false;
  int signal = 0;                   // what stopped the run early, or 0
  std::optional<double> best_top1;  // in percent
};

// Trains by `recipe` (resolved) on `train_set`, evaluates on `val_set`. Throws Error: a loss that
// is not a number, a full disk, an unreadable image, a checkpoint that does not fit.
TrainResult train(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                  const TrainOptions& options);

}  // namespace nestvit::train
