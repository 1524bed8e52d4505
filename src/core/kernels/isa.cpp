// CPUID, and the environment's word against it.
#include "kernels/isa.h"

#include "base/system/environment.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace nestvit::kernels {
namespace {

constexpr const char* kWords[] = {"plain", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};

// The index of NESTVIT_ISA's word, -1 when it is absent, -2 when it is none of them.
int setting() {
  const auto word = environment_variable("NESTVIT_ISA");
  if (!word) return -1;
  for (int i = 0; i < 5; ++i)
    if (*word == kWords[i]) return i;
  return -2;
}

Isa best_of_processor() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kPlain;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
    return Isa::kAvx2;
  if (!__builtin_cpu_supports("avx512vnni")) return Isa::kAvx512;
  return __builtin_cpu_supports("avx512bf16") ? Isa::kAvx512Bf16 : Isa::kAvx512Vnni;
#else
  return Isa::kPlain;
#endif
}

Isa best() {
  const Isa processor = best_of_processor();
  const int wanted = setting();
  return wanted >= 0 && wanted < static_cast<int>(processor) ? static_cast<Isa>(wanted) : processor;
}

}  // namespace

bool uses(Isa isa) {
  static const Isa limit = best();
  return isa <= limit;
}

bool isa_setting_known() { return setting() != -2; }

bool has_amx_bf16() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;  // leaf 7: g++ 12 has no name for this bit
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx >> 22 & 1) != 0;
#else
  return false;
#endif
}

}  // namespace nestvit::kernels
