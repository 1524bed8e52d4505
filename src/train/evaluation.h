// One pass over the validation images with libtorch's forward.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "report/metrics.h"
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
  std::vector<int> match = {};  // the model's class for each of the data's; empty: the same
};

// Every image once, the last batch short (or the first num_eval_steps batches). The processes of
// `group` take a piece of the images each, and all get the whole result. Nothing when `stop` says
// so between batches of any of them. Throws Error when no image can be read.
std::optional<Evaluation> evaluate_all(Network& net, const Dataset& images, const Recipe& recipe,
                                       const EvaluationOptions& options,
                                       const Group& group = Group::alone());

// Images left out by any process of the group, with the reasons.
std::vector<std::pair<std::string, std::string>> names_of_all(
    const std::vector<std::pair<std::string, std::string>>& mine, const Group& group);

// The "eval" event; `accuracy` in it is a share, as in the reference.
void log_evaluation(RunLog& log, int64_t step, double epoch, const Evaluation& evaluation);

}  // namespace nestvit::train
