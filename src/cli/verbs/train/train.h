// nestvit train with libtorch: the run, in this process or in many.
#pragma once

#include "cli/verbs/train/train_flags.h"

namespace nestvit::cli {

int run_training(const TrainArguments& arguments, const Invocation& invocation);

}  // namespace nestvit::cli
