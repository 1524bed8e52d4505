// Loops compiled once per instruction set and chosen by the processor when the program starts. They
// give the same bits everywhere: no fused multiply-add (-ffp-contract=off), no reordered sums.
#pragma once

#include "base/system/sanitized.h"

// Not for clang, which keeps attributes of inlined functions apart, and not under sanitizers, whose
// run time is not there yet when the choice is made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(NESTVIT_SANITIZED)
#define NESTVIT_PER_ISA \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NESTVIT_PER_ISA
#endif
