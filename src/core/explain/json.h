// Explanations as JSON and CSV. The keys are stable; tests/core/explain/explanation.schema.json
// says what they are.
#pragma once

#include <string>

#include "explain/explanation.h"

namespace nestvit {

// One object, without a line's end; numbers to 6 significant digits. `maps`: with the values of the
// heat maps.
std::string to_json(const ExplanationRecord& explanation, bool maps = false);

// file, class, level, quadrant, score, share, margin, decided, x0, y0, x1, y1: a row for each step
// of the path.
std::string csv_header();
std::string to_csv(const ExplanationRecord& explanation);

}  // namespace nestvit
