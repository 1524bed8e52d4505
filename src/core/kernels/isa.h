// The instruction sets that this process uses: those of the processor, or fewer if the environment
// variable NESTVIT_ISA is plain, avx2, avx512, avx512_vnni or avx512_bf16, for tests and
// comparisons.
#pragma once

namespace nestvit::kernels {

// Each contains those before it.
enum class Isa { kPlain, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

bool uses(Isa isa);
// Whether NESTVIT_ISA is unset or one of its words. Any other word counts as unset.
bool isa_setting_known();
// Whether the processor has AMX_BF16, which only oneDNN uses.
bool has_amx_bf16();

}  // namespace nestvit::kernels
