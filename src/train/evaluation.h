// One pass over the validation images with libtorch's forward.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "metrics/metrics.h"
#include "run/recipe/recipe.h"
#include "run/record/example_picks.h"
#include "run/record/log.h"
#include "train/group/group.h"
#include "train/network/network.h"

namespace nestvit::train {

struct Evaluation {
  double top1 = 0, top5 = 0, loss = 0;  // percent, percent, mean cross-entropy
  int64_t images = 0;
  double seconds = 0;
  std::vector<std::pair<std::string, std::string>> skipped;  // images left out: name, reason
  Metrics metrics;
  ExamplePicks examples;
};

struct EvaluationOptions {
  int workers = 2;
  std::function<int()> stop = [] { return 0; };
  std::vector<int> match = {};  // the model's class for each class of the data; empty: the same
};

// Every image once, the last batch short (or the first num_eval_steps batches). A collective call:
// each process of `group` takes a shard of the images, and all get the whole result. Returns
// nothing when `stop` of any process said so between batches. Throws Error when no image can be
// read.
std::optional<Evaluation> evaluate(Network& net, const Dataset& images, const Recipe& recipe,
                                   const EvaluationOptions& options,
                                   const Group& group = Group::alone());

// The images that any process of the group left out, with the reasons. A collective call.
std::vector<std::pair<std::string, std::string>> gather_skipped(
    const std::vector<std::pair<std::string, std::string>>& mine, const Group& group);

// The "eval" event; `accuracy` in it is a share, as in the reference.
void log_evaluation(RunLog& log, int64_t step, double epoch, const Evaluation& evaluation);

}  // namespace nestvit::train
