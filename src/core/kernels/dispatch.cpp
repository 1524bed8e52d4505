// The kernels in plain C++, and the choice among the sets.
#include "kernels/impl/inference_impl.h"
#include "kernels/isa.h"

namespace nestvit::kernels {

#if defined(__x86_64__)
extern const TrainingKernels kTrainingAvx2, kTrainingAvx512;
extern const InferenceKernels kInferenceAvx2, kInferenceAvx512;
#endif

namespace {
constexpr int64_t kWidest = 16;  // lanes, of any set
}

int64_t attention_scratch(const AttentionShape& shape) {
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidest, dp = d + kWidest;
  return 2 * n * np + d * np + n * dp;
}

int64_t attend_scratch(const AttentionShape& shape) {
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidest, dp = d + kWidest;
  return kQueryRows * (np + dp) + np + d * np + n * dp;  // attention_tiles.h, Work
}

const std::vector<const TrainingKernels*>& training_kernels() {
  static constexpr TrainingKernels kPlain = table("plain");
  static const std::vector<const TrainingKernels*> all = [] {
    std::vector<const TrainingKernels*> list;
#if defined(__x86_64__)
    if (uses(Isa::kAvx512)) list.push_back(&kTrainingAvx512);
    if (uses(Isa::kAvx2)) list.push_back(&kTrainingAvx2);
#endif
    list.push_back(&kPlain);
    return list;
  }();
  return all;
}

const std::vector<const InferenceKernels*>& inference_kernels() {
  static constexpr InferenceKernels kPlain = inference_table("plain");
  static const std::vector<const InferenceKernels*> all = [] {
    std::vector<const InferenceKernels*> list;
#if defined(__x86_64__)
    if (uses(Isa::kAvx512)) list.push_back(&kInferenceAvx512);
    if (uses(Isa::kAvx2)) list.push_back(&kInferenceAvx2);
#endif
    list.push_back(&kPlain);
    return list;
  }();
  return all;
}

}  // namespace nestvit::kernels
