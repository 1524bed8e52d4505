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
#include "train/network.h"
#include "train/recipe.h"
#include "train/run_log.h"
#include "train/showcase.h"

namespace nestvit::train {

struct Evaluation {
  double top1 = 0, top5 = 0, loss = 0;  // percent, percent, mean cross-entropy
  int64_t images = 0;
  double seconds = 0;
  std::vector<std::pair<std::string, std::string>> skipped;  // images left out: name, reason
  Metrics metrics;
  Showcase showcase;
};

// Every image once, the last batch short (or the first num_eval_steps batches). `match`: the
// model's class for each of the data's; empty: the same. Nothing when `stop` says so between
// batches. Throws Error when no image can be read.
std::optional<Evaluation> evaluate(Network& net, const Dataset& images, const Recipe& recipe,
                                   int workers, const std::function<int()>& stop,
                                   const std::vector<int>& match = {});

// The "eval" event; `accuracy` in it is a share, as in the reference.
void log_evaluation(RunLog& log, int64_t step, double epoch, const Evaluation& evaluation);

}  // namespace nestvit::train
