// Which types a processor has.
#include "runtime/precision.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cstdlib>

#include "kernels/isa.h"

namespace nestvit {

void check_processor(Precision precision) {
  if (!kernels::isa_setting_known())
    throw UsageError(fmt::format(
        "NESTVIT_ISA is \"{}\", expected plain, avx2, avx512, avx512_vnni or avx512_bf16",
        std::getenv("NESTVIT_ISA")));
  const auto need = [&](kernels::Isa isa, const char* name) {
    if (!kernels::uses(isa))
      throw UsageError(
          fmt::format("this processor has no {} products ({})", precision_name(precision), name),
          "run the model in f32");
  };
  if (precision == Precision::kBf16) need(kernels::Isa::kAvx512Bf16, "AVX512_BF16");
  if (precision == Precision::kInt8) need(kernels::Isa::kAvx512Vnni, "AVX512_VNNI");
}

}  // namespace nestvit
