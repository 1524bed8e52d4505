// The confusion matrix on the run's page, and a table of the most frequent confusions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nestvit {

// `counts` [K, K], row = true class. Up to kMaxPageClasses classes as a picture; for any number a
// table of the most frequent confusions. Empty when there is nothing to show.
std::string confusion_html(const std::vector<std::string>& labels,
                           const std::vector<int64_t>& counts);

}  // namespace nestvit
