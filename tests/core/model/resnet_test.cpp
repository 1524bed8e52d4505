// The baselines' tables: counts to the integer, names, starting values, layers; reference.md H.
#include "model/resnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <map>

#include "model/architecture.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;

ResNetConfig with_classes(const char* name, int classes) {
  ResNetConfig config = resnet(name);
  config.num_classes = classes;
  return config;
}

std::map<std::string, Param> by_name(const ResNetConfig& config) {
  std::map<std::string, Param> map;
  for (const Param& param : parameter_table(config))
    EXPECT_TRUE(map.emplace(param.name, param).second) << param.name;
  return map;
}

TEST(ResNetTable, CountsOfTheReference) {
  EXPECT_EQ(parameter_count(with_classes("resnet18", 1000)), 11'689'512);
  EXPECT_EQ(parameter_count(with_classes("resnet50", 1000)), 25'557'032);
  EXPECT_EQ(parameter_count(with_classes("resnet18_cifar", 10)), 11'173'962);
  EXPECT_EQ(parameter_count(with_classes("resnet18_cifar", 100)), 11'220'132);
}

// Published: 1.82 and 4.12 GMAC (timm's table; 3x3 borders counted in full, as here).
TEST(ResNetTable, Costs) {
  EXPECT_NEAR(static_cast<double>(multiply_accumulates(resnet("resnet18"))), 1.82e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(multiply_accumulates(resnet("resnet50"))), 4.1e9, 0.03e9);
}

// The names and shapes are those of timm.create_model("resnet50").state_dict().
TEST(ResNetTable, NamesAndShapesAreTimms) {
  const auto table = by_name(resnet("resnet50"));
  EXPECT_EQ(table.size(), 53U * 5 + 2) << "53 convolutions with a norm each, and the head";
  EXPECT_THAT(table.at("conv1.weight").shape, ElementsAre(64, 3, 7, 7));
  EXPECT_THAT(table.at("layer1.0.downsample.0.weight").shape, ElementsAre(256, 64, 1, 1));
  EXPECT_THAT(table.at("layer2.0.conv2.weight").shape, ElementsAre(128, 128, 3, 3));
  EXPECT_THAT(table.at("layer4.2.conv3.weight").shape, ElementsAre(2048, 512, 1, 1));
  EXPECT_TRUE(table.at("layer4.2.bn3.running_var").buffer);
  EXPECT_THAT(table.at("fc.weight").shape, ElementsAre(1000, 2048));
  EXPECT_FALSE(by_name(resnet("resnet18")).contains("layer1.0.downsample.0.weight"));
  EXPECT_TRUE(by_name(resnet("resnet18")).contains("layer2.0.downsample.1.running_mean"));
}

TEST(ResNetTable, StartingValues) {
  for (const std::string& name : resnet_names()) {
    const auto table = by_name(resnet(name));
    EXPECT_EQ(table.at("conv1.weight").init, Init::kLecunNormal);
    EXPECT_EQ(table.at("layer2.0.downsample.1.weight").init, Init::kOnes);
    EXPECT_EQ(table.at("layer2.1.bn1.weight").init, Init::kOnes);
    EXPECT_EQ(table.at("fc.weight").init, Init::kZeros);
  }
  EXPECT_EQ(by_name(resnet("resnet18")).at("layer2.1.bn2.weight").init, Init::kZeros);
  EXPECT_EQ(by_name(resnet("resnet50")).at("layer2.1.bn3.weight").init, Init::kOnes);
}

// timm's group_matcher(coarse=False): the stem, each block, the head.
TEST(ResNetTable, Layers) {
  const auto table = by_name(resnet("resnet50"));
  EXPECT_EQ(table.at("bn1.bias").layer, 0);
  EXPECT_EQ(table.at("layer1.0.downsample.0.weight").layer, 1);
  EXPECT_EQ(table.at("layer2.0.conv1.weight").layer, 4);
  EXPECT_EQ(table.at("layer4.2.bn3.weight").layer, 16);
  EXPECT_EQ(table.at("fc.bias").layer, 17);
}

TEST(ResNetTable, Stages) {
  ResNetConfig config = resnet("resnet18");
  config.image_size = 50;  // 25, 13; 7, 4, 2: SAME rounds up
  std::vector<int> maps;
  for (const ResNetStage& stage : stages(config)) maps.push_back(stage.map);
  EXPECT_THAT(maps, ElementsAre(13, 7, 4, 2));
  config.image_size = 0;
  EXPECT_THROW(stages(config), UsageError);
}

}  // namespace
}  // namespace nestvit
