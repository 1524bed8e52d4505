// The sets of kernels that this process uses: those that the processor runs, or fewer where
// NESTVIT_ISA says so (isa.h). Best first; the last is plain C++, which every processor runs.
#pragma once

#include <vector>

#include "kernels/bf16.h"
#include "kernels/inference.h"
#include "kernels/int8.h"
#include "kernels/training.h"

namespace nestvit::kernels {

const std::vector<const TrainingKernels*>& training_kernels();
const std::vector<const InferenceKernels*>& inference_kernels();
const std::vector<const Bf16Kernels*>& bf16_kernels();  // plain: slower than f32
const std::vector<const Int8Kernels*>& int8_kernels();  // plain: far slower than f32

// Whether the first set for bf16 is faster than both f32 and oneDNN's bf16: the processor has
// AVX512_BF16, but not AMX, whose tiles only oneDNN uses.
bool bf16_kernels_pay();

}  // namespace nestvit::kernels
