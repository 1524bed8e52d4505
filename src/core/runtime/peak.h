// What a machine can do at best: the yardstick of `nestvit bench`.
#pragma once

#include "runtime/precision.h"

namespace nestvit {

// 1e9 operations per second of products of 192 x 384 with 384 x 192 values, which stay in a core's
// cache, on `threads` threads at once: the best of some tenths of a second. Throws UsageError where
// check_processor() does.
double product_peak(int threads, NumberType precision);

}  // namespace nestvit
