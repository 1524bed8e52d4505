// WORKDIR/report.html: the run on one page, rewritten after every evaluation (report/page.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "metrics/metrics.h"
#include "report/page.h"
#include "run/recipe/plan.h"
#include "run/recipe/recipe.h"
#include "run/record/example_picks.h"
#include "run/record/state.h"

namespace nestvit {

struct RunSoFar {
  const Recipe& recipe;
  const StepPlan& plan;
  const RunState& state;
  const std::vector<RunPoint>& curve;      // speed and learning rate, ascending
  const Dataset& images;                   // evaluated last
  const std::vector<std::string>& labels;  // the model's classes, [K]
  const Metrics& metrics;                  // of that evaluation
  const ExamplePicks& examples;            // likewise
};

// Reads the shown images again, at most twice ExamplePicks::kImages, one at a time.
void write_report(const std::filesystem::path& workdir, const RunSoFar& run);

}  // namespace nestvit
