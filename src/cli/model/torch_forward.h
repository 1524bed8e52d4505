// libtorch's forward for the verbs that take a forward.
#pragma once

#include "cli/program/verb.h"

namespace nestvit::cli {

Forward torch_forward(const LoadedModel& model, const ForwardOptions& options);

}  // namespace nestvit::cli
