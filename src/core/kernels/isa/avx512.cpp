// The kernels, compiled for AVX-512 (flags in src/core/CMakeLists.txt).
#include "kernels/impl/inference_impl.h"

namespace nestvit::kernels {

extern const TrainingKernels kTrainingAvx512;
const TrainingKernels kTrainingAvx512 = table("avx512");
extern const InferenceKernels kInferenceAvx512;
const InferenceKernels kInferenceAvx512 = inference_table("avx512");

}  // namespace nestvit::kernels
