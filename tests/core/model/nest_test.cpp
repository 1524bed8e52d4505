// Variants, geometry and its error messages, drop-path rates, multiply-accumulates: figures of
// reference.md A.
#include "model/nest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

TEST(Nest, KnowsTwelveVariants) {
  EXPECT_EQ(variant_names().size(), 12u);
  for (const std::string& name : variant_names()) {
    EXPECT_EQ(variant(name).variant, name);
    EXPECT_NO_THROW(geometry(variant(name))) << name;
  }
}

TEST(Nest, ImageNetGeometry) {
  const auto levels = geometry(variant("nest_base_s196_224"));
  ASSERT_EQ(levels.size(), 3u);
  const int blocks[] = {16, 4, 1}, width[] = {128, 256, 512}, heads[] = {4, 8, 16},
            map[] = {56, 28, 14};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(levels[i].blocks, blocks[i]);
    EXPECT_EQ(levels[i].tokens, 196);
    EXPECT_EQ(levels[i].width, width[i]);
    EXPECT_EQ(levels[i].heads, heads[i]);
    EXPECT_EQ(levels[i].head_dim, 32);
    EXPECT_EQ(levels[i].map(), map[i]);
  }
  EXPECT_EQ(levels[2].first_layer, 4);
}

TEST(Nest, CifarGeometryKeepsItsWidth) {
  const auto levels = geometry(variant("nest_tiny_s16_32"));
  ASSERT_EQ(levels.size(), 4u);
  const int blocks[] = {64, 16, 4, 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(levels[i].blocks, blocks[i]);
    EXPECT_EQ(levels[i].tokens, 16);
    EXPECT_EQ(levels[i].width, 192);
    EXPECT_EQ(levels[i].head_dim, 64);
  }
}

// reference.md A.6, in thousandths of a GMAC
TEST(Nest, MultiplyAccumulates) {
  const std::pair<const char*, double> table[] = {
      {"nest_tiny_s196_224", 5.807}, {"nest_small_s196_224", 10.32}, {"nest_base_s196_224", 17.93},
      {"nest_tiny_s16_32", 2.076},   {"nest_small_s16_32", 8.052},   {"nest_base_s16_32", 31.70}};
  for (const auto& [name, gmac] : table)
    EXPECT_NEAR(static_cast<double>(multiply_accumulates(variant(name))) / 1e9, gmac, gmac * 5e-4)
        << name;
  NestConfig large = variant("nest_base_s196_224");
  large.image_size = 384;
  large.patch_size = 24;
  EXPECT_NEAR(static_cast<double>(multiply_accumulates(large)) / 1e9, 59.85, 0.03);
}

TEST(Nest, DropPathGrowsLinearly) {
  const NestConfig tiny = variant("nest_tiny_s196_224");
  EXPECT_EQ(drop_path_rate(tiny, 0), 0);
  EXPECT_NEAR(drop_path_rate(tiny, 1), 0.01818, 1e-5);
  EXPECT_DOUBLE_EQ(drop_path_rate(tiny, 11), 0.2);
}

TEST(Nest, UnknownVariantNamesTheNearest) {
  EXPECT_THAT(error_of<UsageError>([] { variant("nest_tinny"); }),
              HasSubstr("did you mean nest_tiny"));
}

TEST(Nest, IllegalGeometrySaysWhatMustDivideWhat) {
  NestConfig config = variant("nest_tiny_s196_224");
  config.image_size = 225;
  EXPECT_THAT(
      error_of<UsageError>([&] { geometry(config); }),
      AllOf(HasSubstr("multiple of nest.init_patch_embed_size 4"), HasSubstr("224 or 228")));
  config.image_size = 228;
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }),
              AllOf(HasSubstr("patch_size 14 must divide the 57 tokens"), HasSubstr("224 or 280")));
  config.image_size = 256;
  config.patch_size = 16;
  EXPECT_NO_THROW(geometry(config));
  config.num_layers_per_block = {2, 2};
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }),
              AllOf(HasSubstr("2 levels need"), HasSubstr("num_layers_per_block 3 entries"),
                    HasSubstr("patch_size 32"), HasSubstr("image_size 128")));
}

TEST(Nest, IllegalWidthsAreNamed) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_heads = 5;
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }),
              AllOf(HasSubstr("5 heads must divide"), HasSubstr("190 or 195")));
  config = variant("nest_tiny_s16_32");
  config.embedding_dim = 48;
  config.norm_type = Norm::kGroup;
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }),
              AllOf(HasSubstr("32 groups"), HasSubstr("32 or 64")));
  config = variant("nest_tiny_s16_32");
  config.num_heads = 0;
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }), HasSubstr("nest.num_heads is 0"));
  config = variant("nest_tiny_s16_32");
  config.mlp_ratio = 0.001;
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }), HasSubstr("leaves no hidden unit"));
  config = variant("nest_tiny_s16_32");
  config.embed_dims = {192, 192};
  EXPECT_THAT(error_of<UsageError>([&] { geometry(config); }), HasSubstr("2 entries for 4 levels"));
}

// Who follows the hints gets to a legal size: one for the tokens, one for the blocks, one for the
// levels.
TEST(Nest, SuggestedImageSizesLeadToALegalOne) {
  constexpr int kMostHints = 3;
  for (int size = 1; size < 300; ++size) {
    SCOPED_TRACE(size);
    NestConfig config = variant("nest_tiny_s196_224");
    config.image_size = size;
    for (int i = 0; i < kMostHints; ++i) try {
        geometry(config);
      } catch (const UsageError& e) {
        const std::string key = "image_size ";
        const size_t at = e.hint().find(key);
        ASSERT_NE(at, std::string::npos) << e.hint();
        config.image_size = std::stoi(e.hint().substr(at + key.size()));
      }
    EXPECT_NO_THROW(geometry(config));
  }
}

TEST(Nest, FieldsCarryTheOfficialKeys) {
  NestConfig config = variant("nest_tiny_s196_224");
  Fields f = fields(config);
  f.load_yaml_text(
      "{norm_type: GN, attn_type: local_multi_query, num_layers_per_block: [1, 2, 3], mlp_ratio: "
      "2, "
      "scale_hidden_dims: null, gelu: erf}",
      "test");
  EXPECT_EQ(config.norm_type, Norm::kGroup);
  EXPECT_EQ(config.attn_type, Attention::kMultiQuery);
  EXPECT_EQ(config.num_layers_per_block, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(config.mlp_ratio, 2);
  EXPECT_FALSE(config.scale_hidden_dims);
  EXPECT_EQ(config.gelu, Gelu::kErf);
  NestConfig copy = variant("nest_tiny_s196_224");
  fields(copy).load_yaml_text(f.to_yaml(), "copy");
  EXPECT_EQ(copy, config);
}

}  // namespace
}  // namespace nestvit
