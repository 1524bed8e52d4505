// Between the library's words for an explanation and the internal ones.
#pragma once

#include <nestvit/nestvit.h>

#include "explain/request.h"

namespace nestvit {

// -1: the most probable class; compared with none. Throws UsageError where `paper` does not go with
// the method.
ExplainRequest to_request(int index, int against, const ExplainOptions& options);

// Of an explanation of a logit, or of the difference of two.
Explanation to_public(const ExplanationRecord& record);

}  // namespace nestvit
