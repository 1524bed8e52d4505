// Chooses among the tables of isa/ by the instruction sets that this process uses.
#include "kernels/dispatch.h"

#include <initializer_list>

#include "kernels/isa.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

template <class Kernels>
struct Set {
  Isa needs;
  const Kernels* table;
};

template <class Kernels>
std::vector<const Kernels*> usable(std::initializer_list<Set<Kernels>> sets) {
  std::vector<const Kernels*> tables;
  for (const Set<Kernels>& set : sets)
    if (uses(set.needs)) tables.push_back(set.table);
  return tables;
}

}  // namespace

const std::vector<const TrainingKernels*>& training_kernels() {
  static const auto sets = usable<TrainingKernels>({
#if defined(__x86_64__)
    {Isa::kAvx512, &kTrainingAvx512}, {Isa::kAvx2, &kTrainingAvx2},
#endif
        {Isa::kPlain, &kTrainingPlain},
  });
  return sets;
}

const std::vector<const InferenceKernels*>& inference_kernels() {
  static const auto sets = usable<InferenceKernels>({
#if defined(__x86_64__)
    {Isa::kAvx512, &kInferenceAvx512}, {Isa::kAvx2, &kInferenceAvx2},
#endif
        {Isa::kPlain, &kInferencePlain},
  });
  return sets;
}

const std::vector<const Bf16Kernels*>& bf16_kernels() {
  static const auto sets = usable<Bf16Kernels>({
#if defined(__x86_64__)
    {Isa::kAvx512Bf16, &kBf16Avx512},
#endif
        {Isa::kPlain, &kBf16Plain},
  });
  return sets;
}

const std::vector<const Int8Kernels*>& int8_kernels() {
  static const auto sets = usable<Int8Kernels>({
#if defined(__x86_64__)
    {Isa::kAvx512Vnni, &kInt8Vnni}, {Isa::kAvx2, &kInt8Avx2},
#endif
        {Isa::kPlain, &kInt8Plain},
  });
  return sets;
}

bool bf16_kernels_pay() { return uses(Isa::kAvx512Bf16) && !has_amx_bf16(); }

}  // namespace nestvit::kernels
