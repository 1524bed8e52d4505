// Class names: placeholders, and which class a name means.
#include "weights/labels/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nestvit {
namespace {

using ::testing::ElementsAre;

ModelContent birds() {
  ModelContent model;
  model.labels = {"n01514668", "n01514859", "n02012849"};
  model.descriptions = {{"n01514668", "cock"}, {"n01514859", "hen"}, {"n02012849", "crane"}};
  return model;
}

TEST(Labels, NumbersStandInForNames) {
  EXPECT_THAT(numbered_labels(3), ElementsAre("class 0", "class 1", "class 2"));
  EXPECT_TRUE(numbered_labels(0).empty());
}

TEST(Labels, NamesMeanClassesByLabelOrDescription) {
  EXPECT_EQ(classes_by_name({"n02012849", "hen"}, birds()), (std::vector<int>{2, 1}));
  EXPECT_EQ(classes_by_name({}, birds()), std::vector<int>{});
  EXPECT_EQ(classes_by_name({"hen", "owl"}, birds()), std::nullopt);
  EXPECT_EQ(classes_by_name({"Hen"}, birds()), std::nullopt);
}

TEST(Labels, ANameOfTwoClassesMeansNeither) {
  ModelContent model = birds();
  model.labels.push_back("n03126707");
  model.descriptions["n03126707"] = "crane";  // the machine
  EXPECT_EQ(classes_by_name({"crane"}, model), std::nullopt);
  EXPECT_EQ(classes_by_name({"n02012849", "n03126707"}, model), (std::vector<int>{2, 3}));
  // A description that is its own label is one name all the same.
  model.descriptions["n01514859"] = "n01514859";
  EXPECT_EQ(classes_by_name({"n01514859"}, model), std::vector<int>{1});
}

}  // namespace
}  // namespace nestvit
