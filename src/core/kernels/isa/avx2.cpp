// The f32 kernels, compiled for AVX2 (flags in src/core/CMakeLists.txt).
#include "kernels/impl/inference_impl.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {

constinit const TrainingKernels kTrainingAvx2 = training_table("avx2");
constinit const InferenceKernels kInferenceAvx2 = inference_table("avx2");

}  // namespace nestvit::kernels
