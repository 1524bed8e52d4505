// The peak speed of matrix products on this machine: the yardstick of `nestvit bench`.
#pragma once

#include "runtime/precision.h"

namespace nestvit {

// In 1e9 operations per second, for products of 192 x 384 with 384 x 192 values, which stay in a
// core's cache, on `threads` threads at once: the best of ten trials. Throws UsageError where
// check_processor() does.
double product_peak(int threads, NumberType precision);

}  // namespace nestvit
