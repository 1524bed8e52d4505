// For scripts/test and ctest: which instruction sets the tests of this machine cover.
//
//   instruction_sets         prints one line
//   instruction_sets WORD    exits with 77, and says why, unless kernels of NESTVIT_ISA's WORD run
//   here
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/isa.h"

namespace {

using nestvit::kernels::Isa;

struct Set {
  const char *word, *name;
  Isa isa;
};

constexpr Set kSets[] = {{"plain", "plain", Isa::kPlain},
                         {"avx2", "AVX2", Isa::kAvx2},
                         {"avx512", "AVX-512", Isa::kAvx512},
                         {"avx512_vnni", "AVX512_VNNI", Isa::kAvx512Vnni},
                         {"avx512_bf16", "AVX512_BF16", Isa::kAvx512Bf16}};

void print_line() {
  std::vector<std::string> tested, untested;
  for (const Set& set : kSets) (uses(set.isa) ? tested : untested).emplace_back(set.name);
  const bool amx = nestvit::kernels::has_amx_bf16();
  (amx ? tested : untested).emplace_back("AMX_BF16 (oneDNN's, in training)");
  if (amx) untested.emplace_back("AVX512_BF16 in training (AMX_BF16 takes its place)");
  fmt::print("instruction sets tested here: {}; not tested here: {}\n", fmt::join(tested, ", "),
             untested.empty() ? "none" : fmt::format("{}", fmt::join(untested, ", ")));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    print_line();
    return 0;
  }
  for (const Set& set : kSets)
    if (std::strcmp(set.word, argv[1]) == 0 && uses(set.isa)) return 0;
  fmt::print("skipped: this processor has no {}\n", argv[1]);
  return 77;
}
