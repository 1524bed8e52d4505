// A score report as a page, as Markdown and as pictures of its curves.
#pragma once

#include <string>
#include <vector>

#include "report/score/score_report.h"

namespace nestvit {

// [table][measure]: its rows. Thousands of resamples each, so they are estimated once.
using EstimatedReport = std::vector<std::vector<std::vector<ScoreRow>>>;
EstimatedReport estimated(const ScoreReport& report);

std::string score_html(const ScoreReport& report, const EstimatedReport& estimates);
std::string score_markdown(const ScoreReport& report, const EstimatedReport& estimates);

// A small chart of the probability for each method, beside the controls.
std::string curves_svg(const ScoreCurves& curves, const std::vector<std::string>& controls);

}  // namespace nestvit
