// The kernels, compiled for AVX2 (flags in src/core/CMakeLists.txt).
#include "kernels/impl/inference_impl.h"

namespace nestvit::kernels {

extern const TrainingKernels kTrainingAvx2;
const TrainingKernels kTrainingAvx2 = table("avx2");
extern const InferenceKernels kInferenceAvx2;
const InferenceKernels kInferenceAvx2 = inference_table("avx2");

}  // namespace nestvit::kernels
