// The confusion matrix on the run's page, and a table of the most frequent confusions.
#pragma once

#include <string>
#include <vector>

#include "metrics/confusion.h"

namespace nestvit {

// Up to kMaxPageClasses classes as a picture; for any number a table of the most frequent
// confusions. Empty when there is nothing to show.
std::string confusion_html(const std::vector<std::string>& labels, const Confusion& confusion);

}  // namespace nestvit
