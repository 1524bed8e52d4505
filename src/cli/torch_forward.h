// libtorch's forward, as the verbs take one.
#pragma once

#include "cli/verbs.h"

namespace nestvit::cli {

Forward torch_forward(const Model& model, const ForwardOptions& options);

}  // namespace nestvit::cli
