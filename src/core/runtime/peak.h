// What a machine can do at best: the yardstick of `nestvit bench`.
#pragma once

namespace nestvit {

// Gigaflops per second of f32 products of 192 x 384 with 384 x 192 values, which stay in a core's
// cache, on `threads` threads at once: the best of some tenths of a second.
double product_peak(int threads);

}  // namespace nestvit
