// Which number types a processor computes in.
#pragma once

#include <nestvit/number_type.h>

namespace nestvit {

// Throws UsageError where the processor, or NESTVIT_ISA, does not allow `type`, and for a
// NESTVIT_ISA that is none of its words.
void check_processor(NumberType type);

}  // namespace nestvit
