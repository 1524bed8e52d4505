// A process uses the sets of kernels that the processor runs and NESTVIT_ISA allows.
#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/isa.h"

namespace nestvit::kernels {
namespace {

template <class Kernels>
std::vector<std::string> names_of(const std::vector<const Kernels*>& sets) {
  std::vector<std::string> names;
  for (const Kernels* set : sets) names.emplace_back(set->name);
  return names;
}

// The names of those that this process uses.
std::vector<std::string> used(const std::vector<std::pair<Isa, std::string>>& all) {
  std::vector<std::string> names;
  for (const auto& [isa, name] : all)
    if (uses(isa)) names.push_back(name);
  return names;
}

TEST(Dispatch, BestFirstAndPlainLast) {
  const auto f32 = used({{Isa::kAvx512, "avx512"}, {Isa::kAvx2, "avx2"}, {Isa::kPlain, "plain"}});
  EXPECT_EQ(names_of(training_kernels()), f32);
  EXPECT_EQ(names_of(inference_kernels()), f32);
  EXPECT_EQ(names_of(bf16_kernels()),
            used({{Isa::kAvx512Bf16, "avx512_bf16"}, {Isa::kPlain, "plain"}}));
  EXPECT_EQ(
      names_of(int8_kernels()),
      used({{Isa::kAvx512Vnni, "avx512_vnni"}, {Isa::kAvx2, "avx2"}, {Isa::kPlain, "plain"}}));
}

TEST(Dispatch, Bf16PaysOnlyWhereItIsAnInstruction) {
  EXPECT_TRUE(!bf16_kernels_pay() || bf16_kernels().size() == 2);
}

TEST(Isa, EachContainsTheOnesBefore) {
  EXPECT_TRUE(uses(Isa::kPlain));
  for (const auto& [more, less] : {std::pair{Isa::kAvx2, Isa::kPlain},
                                   {Isa::kAvx512, Isa::kAvx2},
                                   {Isa::kAvx512Vnni, Isa::kAvx512},
                                   {Isa::kAvx512Bf16, Isa::kAvx512Vnni}})
    EXPECT_TRUE(!uses(more) || uses(less));
  EXPECT_TRUE(isa_setting_known());
}

}  // namespace
}  // namespace nestvit::kernels
