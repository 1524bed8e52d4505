// libtorch's forward, as the verbs take one.
#pragma once

#include "cli/program/verb.h"

namespace nestvit::cli {

Forward torch_forward(const LoadedModel& model, const ForwardOptions& options);

}  // namespace nestvit::cli
