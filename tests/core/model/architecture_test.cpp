// Networks of both kinds behind one description.
#include "model/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using ::testing::StartsWith;

TEST(Architecture, NamesOfBothKinds) {
  for (const std::string& name : architecture_names()) {
    const Architecture network = architecture(name);
    EXPECT_EQ(network.variant(), name);
    EXPECT_NE(network.nest() == nullptr, network.resnet() == nullptr);
    EXPECT_FALSE(parameter_table(network).empty());
  }
  testing::expect_error<UsageError>([] { architecture("resnet34"); }, {"resnet50"});
}

TEST(Architecture, AnswersAsTheNetworkItHolds) {
  NestConfig nest = variant("nest_tiny_s16_32");
  nest.in_channels = 1;
  nest.num_classes = 7;
  ResNetConfig baseline = resnet("resnet18_cifar");
  baseline.image_size = 48;
  baseline.num_classes = 3;
  const Architecture a = nest, b = baseline;
  EXPECT_EQ(a.image_size(), 32);
  EXPECT_EQ(a.in_channels(), 1);
  EXPECT_EQ(a.num_classes(), 7);
  EXPECT_EQ(b.image_size(), 48);
  EXPECT_EQ(b.in_channels(), 3);
  EXPECT_EQ(b.num_classes(), 3);
  EXPECT_EQ(parameter_count(a), parameter_count(nest));
  EXPECT_EQ(parameter_count(b), parameter_count(parameter_table(baseline)));
  EXPECT_EQ(multiply_accumulates(a), multiply_accumulates(nest));
  EXPECT_EQ(multiply_accumulates(b), multiply_accumulates(baseline));
  EXPECT_NE(a, b);
  EXPECT_EQ(a, Architecture(nest));
}

TEST(Architecture, DescribesItsLevels) {
  EXPECT_EQ(describe(architecture("nest_tiny_s196_224")),
            "16 x 196 tokens of 96 channels, 2 layers; 4 x 196 tokens of 192 channels, 2 layers; "
            "1 x 196 tokens of 384 channels, 8 layers");
  EXPECT_THAT(describe(architecture("resnet50")),
              StartsWith("56 x 56 pixels of 256 channels, 3 blocks; 28 x 28 pixels of 512"));
}

TEST(Architecture, SizesThatCannotBeAreErrors) {
  NestConfig nest = variant("nest_tiny_s16_32");
  nest.image_size = 33;
  ResNetConfig baseline = resnet("resnet18");
  baseline.image_size = 0;
  EXPECT_THROW(check_sizes(nest), UsageError);
  EXPECT_THROW(check_sizes(baseline), UsageError);
  EXPECT_NO_THROW(check_sizes(architecture("nest_base_s196_224")));
  EXPECT_NO_THROW(check_sizes(architecture("resnet50")));
}

}  // namespace
}  // namespace nestvit
