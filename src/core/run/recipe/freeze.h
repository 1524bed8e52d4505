// Which parameters a run trains, and at what share of the learning rate. Free of libtorch.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.h"

namespace nestvit {

// Whether the parameter or module `name` belongs to `freeze`: one of its entries is the name, the
// beginning of it up to a dot, or "backbone", which is all but the head.
bool frozen(const std::string& name, const std::vector<std::string>& freeze);

// Throws UsageError for an entry that names nothing, and when nothing is left to train.
void check_freeze(const std::vector<std::string>& freeze, const Architecture& model);

// timm's layer-wise decay: layer_decay ^ (the head's layer - this layer). 1 for the head.
double learning_rate_share(const Param& param, int head_layer, double layer_decay);

}  // namespace nestvit
