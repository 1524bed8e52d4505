// The training kernels in plain C++, and the choice among the sets by what the processor has.
#include "kernels/training.h"

#include "kernels/training_loops.h"

namespace nestvit::kernels {

#if defined(__x86_64__)
extern const TrainingKernels kTrainingAvx2, kTrainingAvx512;
#endif

int64_t attention_scratch(const AttentionShape& shape) {
  constexpr int64_t kWidest = 16;  // lanes, of any set
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidest, dp = d + kWidest;
  return 2 * n * np + d * np + n * dp;
}

const std::vector<const TrainingKernels*>& training_kernels() {
  static constexpr TrainingKernels kPlain = table("plain");
  static const std::vector<const TrainingKernels*> all = [] {
    std::vector<const TrainingKernels*> list;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      list.push_back(&kTrainingAvx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      list.push_back(&kTrainingAvx2);
#endif
    list.push_back(&kPlain);
    return list;
  }();
  return all;
}

}  // namespace nestvit::kernels
