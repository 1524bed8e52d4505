// What a run prints at its start: everything that is in force, with its numbers.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "run/recipe/freeze.h"
#include "run/recipe/plan.h"
#include "run/recipe/recipe.h"
#include "run/setup.h"

namespace nestvit {

// The recipe's base, the data and its classes, the model, what becomes of the weights, the
// augmentation.
void print_setup(const RunSetup& setup);

// What was changed in the weights, and where the recipe contradicts their training.
struct WeightsReport {
  std::vector<std::string> changes, warnings;
};
WeightsReport report_weights(const Recipe& recipe, const LoadedNetwork& weights,
                             const std::vector<std::string>& classes);

// A training loop before its first step.
struct LoopStart {
  const Recipe& recipe;
  const StepPlan& plan;
  const Schedule& schedule;
  // By share, largest first, and what decays before what does not.
  const std::vector<ParameterGroup>& groups;
  const std::filesystem::path& workdir;
  std::optional<int64_t> resumed_after;  // a step; unset: a new run
};

// Parameters, optimiser, weight decay, steps, learning rate, precision, the run's folder.
void print_loop_start(const LoopStart& start);

}  // namespace nestvit
