// The f32 kernels, compiled for every processor.
#include "kernels/impl/inference_impl.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {

constinit const TrainingKernels kTrainingPlain = training_table("plain");
constinit const InferenceKernels kInferencePlain = inference_table("plain");

}  // namespace nestvit::kernels
