// Which instruction sets this process uses: those of the processor, or fewer where the environment
// variable NESTVIT_ISA says so (plain, avx2, avx512, avx512_vnni or avx512_bf16), for tests and
// comparisons.
#pragma once

namespace nestvit::kernels {

enum class Isa {
  kPlain,
  kAvx2,
  kAvx512,
  kAvx512Vnni,
  kAvx512Bf16
};  // each contains those before it

bool uses(Isa isa);
// Whether NESTVIT_ISA is absent or one of its words; any other word is as if it were absent.
bool isa_setting_known();
// Whether the processor has AMX_BF16, which only oneDNN uses.
bool has_amx_bf16();

}  // namespace nestvit::kernels
