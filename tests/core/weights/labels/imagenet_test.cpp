// The names of ImageNet's classes, given to placeholders alone.
#include "weights/labels/imagenet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "weights/labels/labels.h"

namespace nestvit {
namespace {

TEST(ImageNetLabels, PlaceholdersBecomeSynsetsInTheirOrder) {
  std::vector<std::string> labels = numbered_labels(1000);
  std::map<std::string, std::string> descriptions;
  name_imagenet_classes(labels, descriptions);
  ASSERT_EQ(labels.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(labels.begin(), labels.end()));
  EXPECT_EQ(std::set(labels.begin(), labels.end()).size(), 1000u);
  EXPECT_EQ(descriptions.size(), 1000u);
  for (const std::string& label : labels) {
    EXPECT_TRUE(label.size() == 9 && label[0] == 'n') << label;
    EXPECT_FALSE(descriptions.at(label).empty()) << label;
    EXPECT_NE(descriptions.at(label).front(), ' ') << label;
  }
  // Classes that everybody knows by their number.
  EXPECT_EQ(descriptions.at(labels[0]), "tench");
  EXPECT_EQ(descriptions.at(labels[1]), "goldfish");
  EXPECT_EQ(descriptions.at(labels[207]), "golden retriever");
  EXPECT_EQ(descriptions.at(labels[281]), "tabby");
  EXPECT_EQ(labels[999], "n15075141");
}

TEST(ImageNetLabels, NamesOfTheirOwnStay) {
  for (std::vector<std::string> labels :
       {numbered_labels(999), numbered_labels(1001), std::vector<std::string>(1000, "cat"),
        std::vector<std::string>()}) {
    const auto before = labels;
    std::map<std::string, std::string> descriptions;
    name_imagenet_classes(labels, descriptions);
    EXPECT_EQ(labels, before);
    EXPECT_TRUE(descriptions.empty());
  }
}

}  // namespace
}  // namespace nestvit
