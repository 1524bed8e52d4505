// NESTVIT_ISA and the processor against a number type.
#include "runtime/precision.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/system/environment.h"
#include "kernels/isa.h"

namespace nestvit {

void check_processor(NumberType type) {
  if (!kernels::isa_setting_known())
    throw UsageError(fmt::format(
        "NESTVIT_ISA is \"{}\", expected plain, avx2, avx512, avx512_vnni or avx512_bf16",
        environment_variable("NESTVIT_ISA").value_or("")));
  if (type == NumberType::kBf16 && !kernels::uses(kernels::Isa::kAvx512Bf16))
    throw UsageError("this processor has no bf16 products (AVX512_BF16)", "run the model in f32");
}

}  // namespace nestvit
