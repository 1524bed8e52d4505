// The number types that a processor computes in.
#pragma once

#include <nestvit/number_type.h>

namespace nestvit {

// Throws UsageError where the processor, or NESTVIT_ISA, does not allow `type`, and where
// NESTVIT_ISA is unknown.
void check_processor(NumberType type);

}  // namespace nestvit
