// The verb `train` in both programs: nestvit-train runs it, nestvit hands it over.
#pragma once

#include <functional>

#include "cli/verbs/train/train_flags.h"

namespace nestvit::cli {

// `run`: what happens after parsing; returns the exit code.
using RunTraining =
    std::function<int(const TrainArguments& arguments, const Invocation& invocation)>;
Verb train_verb(const RunTraining& run);

}  // namespace nestvit::cli
