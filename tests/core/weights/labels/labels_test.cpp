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

TEST(Labels, NumbersInTheirOrderNameNothing) {
  EXPECT_TRUE(names_nothing({"0", "1", "2"}));
  EXPECT_TRUE(names_nothing({"class 0", "class 1"}));
  EXPECT_TRUE(names_nothing({}));
  EXPECT_FALSE(names_nothing({"0", "1", "10"}));
  EXPECT_FALSE(names_nothing({"class 0", "cat"}));
}

TEST(Labels, ClassesThatTheDataLacksAreNumbered) {
  EXPECT_THAT(class_labels({"cat", "dog"}, 4), ElementsAre("cat", "dog", "class 2", "class 3"));
  EXPECT_THAT(class_labels({"cat", "dog"}, 2), ElementsAre("cat", "dog"));
}

TEST(Labels, KnownNamesMeanTheirClassAndOthersNone) {
  EXPECT_THAT(known_classes({"owl", "crane", "n01514668"}, birds()), ElementsAre(-1, 2, 0));
}

TEST(Labels, AModelHasItsOwnNamesForClasses) {
  EXPECT_THAT(names_in_model({"crane", "owl"}, birds()), ElementsAre("n02012849", "owl"));
  EXPECT_THAT(names_in_model({"0", "1", "2"}, birds()),
              ElementsAre("n01514668", "n01514859", "n02012849"));
  ModelContent digits;
  digits.labels = {"0", "1", "10"};
  EXPECT_THAT(names_in_model({"0", "10", "1"}, digits), ElementsAre("0", "10", "1"));
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
