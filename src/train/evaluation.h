// One pass over the validation images with libtorch's forward.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "train/network.h"
#include "train/recipe.h"

namespace nestvit::train {

struct Evaluation {
  double top1 = 0, top5 = 0, loss = 0;  // percent, percent, mean cross-entropy
  int64_t images = 0;
  double seconds = 0;
  std::vector<std::pair<std::string, std::string>> skipped;  // images left out: name, reason
};

// Every image once, the last batch short (or the first num_eval_steps batches). `match`: the
// model's class for each of the data's; empty: the same. Nothing when `stop` says so between
// batches. Throws Error when no image can be read.
std::optional<Evaluation> evaluate(Network& net, const Dataset& images, const Recipe& recipe,
                                   int workers, const std::function<int()>& stop,
                                   const std::vector<int>& match = {});

}  // namespace nestvit::train
