// The f32 kernels, compiled for AVX-512 (flags in src/core/CMakeLists.txt).
#include "kernels/impl/inference_impl.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {

constinit const TrainingKernels kTrainingAvx512 = training_table("avx512");
constinit const InferenceKernels kInferenceAvx512 = inference_table("avx512");

}  // namespace nestvit::kernels
