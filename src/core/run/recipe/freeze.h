// Which parameters a run trains, and at what share of the learning rate.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace nestvit {

// Parameters that the optimiser treats alike.
struct ParameterGroup {
  bool decayed;
  int tensors;
  int64_t values;
  double share = 1;  // of the learning rate
};

// Whether the parameter or module `name` belongs to `freeze`: one of its entries is the name, the
// beginning of it up to a dot, or "backbone", which is all but the head.
bool frozen(const std::string& name, const std::vector<std::string>& freeze);

// Throws UsageError for an entry that names nothing, and when nothing is left to train.
void check_freeze(const std::vector<std::string>& freeze, const Architecture& model);

// timm's layer-wise decay: layer_decay ^ (the head's layer - this layer). 1 for the head.
double learning_rate_share(const Param& param, int head_layer, double layer_decay);

}  // namespace nestvit
