// The tables that dispatch.cpp chooses among. A file of isa/ fills each; the plain ones of bf16 and
// int8 are filled by bf16.cpp and int8.cpp.
//
// The files of isa/ are compiled with the flags of an instruction set. If two of them defined the
// same inline function, the linker would keep one copy, perhaps one that a processor without
// AVX-512 cannot run. So everything in isa/ and impl/ except these tables stands in an unnamed
// namespace, and both folders include nothing but <cstdint>, <immintrin.h>, the contracts
// (training.h, inference.h, bf16.h, int8.h) and each other. tests/core/kernels/symbols checks it.
#pragma once

#include "kernels/bf16.h"
#include "kernels/inference.h"
#include "kernels/int8.h"
#include "kernels/training.h"

namespace nestvit::kernels {

extern const TrainingKernels kTrainingPlain, kTrainingAvx2, kTrainingAvx512;
extern const InferenceKernels kInferencePlain, kInferenceAvx2, kInferenceAvx512;
extern const Bf16Kernels kBf16Plain, kBf16Avx512;
extern const Int8Kernels kInt8Plain, kInt8Avx2, kInt8Vnni;

}  // namespace nestvit::kernels
