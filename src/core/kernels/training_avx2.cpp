// The training kernels, compiled for AVX2 (flags in src/core/CMakeLists.txt).
#include "kernels/training_loops.h"

namespace nestvit::kernels {

extern const TrainingKernels kTrainingAvx2;
const TrainingKernels kTrainingAvx2 = table("avx2");

}  // namespace nestvit::kernels
