// Class names in all forms that a config.json has, which of them win, and forms that lie.
#include "weights/labels/config_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace nestvit {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> labels_of(const char* text, int classes = 3) {
  const json root = json::parse(text);
  ModelContent model;
  read_labels(root, root.value("pretrained_cfg", json::object()), classes, model);
  return model.labels;
}

std::string refusal(const char* text) {
  return testing::error_of([&] { labels_of(text); });
}

TEST(ConfigLabels, EveryForm) {
  for (const char* text :
       {R"({"label_names": ["cat", "dog", "emu"]})", R"({"labels": ["cat", "dog", "emu"]})",
        R"({"label_names": {"0": "cat", "2": "emu", "1": "dog"}})",
        R"({"id2label": {"0": "cat", "1": "dog", "2": "emu"}})",
        R"({"id2label": ["cat", "dog", "emu"]})", R"({"label2id": {"dog": 1, "cat": 0, "emu": 2}})",
        R"({"label2id": {"dog": "1", "cat": "0", "emu": "2"}})",
        R"({"pretrained_cfg": {"id2label": {"0": "cat", "1": "dog", "2": "emu"}}})",
        R"({"pretrained_cfg": {"label_names": ["cat", "dog", "emu"]}})"})
    EXPECT_THAT(labels_of(text), ElementsAre("cat", "dog", "emu")) << text;
}

TEST(ConfigLabels, OrderOfTheKeys) {
  EXPECT_THAT(labels_of(R"({"label_names": ["a", "b", "c"], "id2label": {"0": "x"}})"),
              ElementsAre("a", "b", "c"));
  EXPECT_THAT(labels_of(R"({"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"x": 0}})"),
              ElementsAre("a", "b", "c"));
}

TEST(ConfigLabels, ClassesWithoutNamesAreNumbered) {
  EXPECT_THAT(labels_of("{}"), ElementsAre("class 0", "class 1", "class 2"));
  EXPECT_THAT(labels_of(R"({"id2label": {"1": "dog"}})"), ElementsAre("class 0", "dog", "class 2"));
  EXPECT_THAT(labels_of(R"({"id2label": null, "label2id": {"emu": 2}})"),
              ElementsAre("class 0", "class 1", "emu"));
}

// What transformers writes for two classes when it was told none, whatever the model has.
TEST(ConfigLabels, NumbersAreNamesAndNullIsNone) {
  EXPECT_THAT(labels_of(R"({"id2label": {"0": 7, "1": null, "2": "9"}})"),
              ElementsAre("7", "class 1", "9"));
  EXPECT_THAT(labels_of(R"({"label_names": [7, 8, null]})"), ElementsAre("7", "8", "class 2"));
}

TEST(ConfigLabels, TransformersOwnPlaceholdersAreNoNames) {
  const char* text = R"({"id2label": {"0": "LABEL_0", "1": "LABEL_1"},
                         "label2id": {"LABEL_0": 0, "LABEL_1": 1}})";
  EXPECT_THAT(labels_of(text, 1), ElementsAre("class 0"));
  EXPECT_EQ(classes_named(json::parse(text), json::object()), 0);
}

TEST(ConfigLabels, CountClassesWhereNothingElseDoes) {
  const auto count = [](const char* text) {
    return classes_named(json::parse(text), json::object());
  };
  EXPECT_EQ(count("{}"), 0);
  EXPECT_EQ(count(R"({"id2label": {"0": "a", "7": "b"}})"), 8);
  EXPECT_EQ(count(R"({"label_names": ["a", "b"]})"), 2);
}

TEST(ConfigLabels, FormsThatLie) {
  EXPECT_THAT(refusal(R"({"label_names": ["a", "b"]})"), HasSubstr("2 entries for 3 classes"));
  EXPECT_THAT(refusal(R"({"id2label": {"0": "a", "3": "b"}})"),
              AllOf(HasSubstr("id2label"), HasSubstr("class 3"), HasSubstr("0 to 2")));
  EXPECT_THAT(refusal(R"({"id2label": {"cat": "a"}})"), HasSubstr("\"cat\""));
  EXPECT_THAT(refusal(R"({"id2label": {"-1": "a"}})"), HasSubstr("\"-1\""));
  EXPECT_THAT(refusal(R"({"id2label": {"99999999999": "a"}})"), HasSubstr("id2label"));
  EXPECT_THAT(refusal(R"({"id2label": {"9999999": "a"}})"), HasSubstr("1048576"));
  EXPECT_THAT(refusal(R"({"id2label": {"0": 5.5}})"), HasSubstr("a text"));
  EXPECT_THAT(refusal(R"({"id2label": "cat"})"), HasSubstr("a list of names"));
  EXPECT_THAT(refusal(R"({"id2label": {"1": "a", "01": "b"}})"), HasSubstr("class 1 twice"));
  EXPECT_THAT(refusal(R"({"label2id": {"a": 1, "b": 1}})"), HasSubstr("class 1 twice"));
  EXPECT_THAT(refusal(R"({"label2id": {"a": 1.5}})"), HasSubstr("a whole number"));
  EXPECT_THAT(refusal(R"({"label2id": ["a"]})"), HasSubstr("names and numbers"));
}

}  // namespace
}  // namespace nestvit
