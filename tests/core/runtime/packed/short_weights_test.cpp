// A model whose weights stay in the type of their file until the engine packs them: the same
// answers as from weights widened at once, and an error where f32 is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "core/runtime/reference_forward.h"
#include "kernels/isa.h"
#include "runtime/engine.h"
#include "support/temp_dir.h"
#include "weights/import.h"

namespace nestvit {
namespace {

struct Case {
  NumberType type;
  Attention attention;
};
std::string name_of(const Case& c) {
  return std::string(number_type_name(c.type)) +
         (c.attention == Attention::kMultiHead ? "_multi_head" : "_multi_query");
}
void PrintTo(const Case& c, std::ostream* out) { *out << name_of(c); }

class ShortWeights : public ::testing::TestWithParam<Case> {
 protected:
  LoadedModel imported(Widening widening) const {
    ImportOptions options;
    options.widening = widening;
    return import_model(folder_.path(), options);
  }
  void SetUp() override {
    NestConfig config = variant("nest_tiny_s16_32");
    config.num_layers_per_block = {1, 1};
    config.image_size = 8;
    config.embedding_dim = 32;
    config.num_heads = 2;
    config.attn_type = GetParam().attention;
    LoadedModel model = testing::random_model(config, 7);
    model.preprocessing = preprocessing_mode("timm", config.image_size);
    save_model(folder_.path(), model, GetParam().type);
  }
  const testing::TempDir folder_;
};

TEST_P(ShortWeights, AnswerAsWidenedOnes) {
  const LoadedModel whole = imported(Widening::kToF32), kept = imported(Widening::kLater);
  const std::string name = "levels.1.pool.conv.weight";
  EXPECT_EQ(kept.tensors.at(name).dtype(),
            GetParam().type == NumberType::kInt8 ? DType::kI8 : DType::kBF16);
  EXPECT_EQ(kept.tensors.at(name).to_f32(), whole.tensors.at(name).to_f32());
  std::vector<float> image(3 * 8 * 8);
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 17) / 8 - 1;
  const auto logits = [&](const LoadedModel& model, NumberType precision) {
    return Engine(model, {1, precision}).run(image, 1).logits;
  };
  for (const NumberType precision : kNumberTypes) {
    if (precision == NumberType::kBf16 && !kernels::uses(kernels::Isa::kAvx512Bf16)) continue;
    EXPECT_EQ(logits(kept, precision), logits(whole, precision)) << number_type_name(precision);
  }
}

TEST_P(ShortWeights, AreAnErrorWhereF32IsNeeded) {
  EXPECT_THROW(save_model(folder_.path() / "again", imported(Widening::kLater)), Error);
  EXPECT_NO_THROW(save_model(folder_.path() / "again", imported(Widening::kToF32)));
}

INSTANTIATE_TEST_SUITE_P(Types, ShortWeights,
                         ::testing::Values(Case{NumberType::kBf16, Attention::kMultiHead},
                                           Case{NumberType::kBf16, Attention::kMultiQuery},
                                           Case{NumberType::kInt8, Attention::kMultiHead},
                                           Case{NumberType::kInt8, Attention::kMultiQuery}),
                         [](const auto& c) { return name_of(c.param); });

}  // namespace
}  // namespace nestvit
