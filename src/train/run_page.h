// WORKDIR/report.html: the run on one page, rewritten after every evaluation (report/page.h).
#pragma once

#include <filesystem>

#include "train/checkpoint.h"
#include "train/recipe.h"

namespace nestvit::train {

void write_report(const std::filesystem::path& workdir, const Recipe& recipe, const StepPlan& plan,
                  const RunState& state);

}  // namespace nestvit::train
