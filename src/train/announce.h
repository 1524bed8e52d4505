// What a run says before its first step.
#pragma once

#include <filesystem>

#include "run/recipe/recipe.h"
#include "run/recipe/schedule.h"
#include "train/learner.h"

namespace nestvit::train {

// Parameters, decay groups, steps, learning rate and folder on the terminal. `step`: where the run
// goes on, if `resumed`.
void announce(const Recipe& recipe, const StepPlan& plan, const Schedule& schedule,
              const Learner& learner, const std::filesystem::path& workdir, bool resumed,
              int64_t step);

}  // namespace nestvit::train
