// Weights in parts: an index and its files, and indexes that lie.
#include "weights/files/parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "core/weights/small_model.h"
#include "support/errors.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kFirst = "model-00001-of-00002.safetensors";
constexpr const char* kSecond = "model-00002-of-00002.safetensors";

class Parts : public ::testing::Test {
 protected:
  Parts() {
    for (const auto& [name, tensor] : tensors_) {
      const bool first = name < "levels.1";
      parts_[first ? kFirst : kSecond].emplace(name, tensor);
      index_["weight_map"][name] = first ? kFirst : kSecond;
    }
    index_["metadata"]["total_size"] = 1;
    fs::create_directory(inner_);
    for (const auto& [name, part] : parts_) write_safetensors(inner_ / name, part);
  }
  TensorMap read(const json& index) const { return read_text_index(index.dump()); }
  TensorMap read_text_index(const std::string& text) const {
    write_file(file_, std::string_view(text));
    return read_parts(file_, [](const fs::path& part) { return read_safetensors(part); });
  }
  std::string refusal(const json& index) const {
    return testing::error_of([&] { read(index); });
  }

  const testing::TempDir folder_;
  const fs::path inner_ = folder_.path() / "model";
  const fs::path file_ = inner_ / "model.safetensors.index.json";
  const TensorMap tensors_ = testing::small_model().tensors;
  std::map<std::string, TensorMap> parts_;
  json index_;
};

TEST_F(Parts, AreReadAsOne) { testing::expect_same(read(index_), tensors_, "in parts"); }

TEST_F(Parts, StayInTheFolderOfTheIndex) {
  write_safetensors(folder_.path() / "outside.safetensors", parts_[kFirst]);
  const std::vector<std::string> paths = {"../outside.safetensors",
                                          (inner_ / kFirst).string(),
                                          std::string("./") + kFirst,
                                          "..",
                                          ".",
                                          ""};
  for (const std::string& part : paths) {
    json index = index_;
    index["weight_map"]["norm.weight"] = part;
    EXPECT_THAT(refusal(index), AllOf(HasSubstr("index.json"), HasSubstr("beside it"))) << part;
  }
}

TEST_F(Parts, IndexesThatLie) {
  json index = index_;
  index["weight_map"]["norm.weight"] = kFirst;
  EXPECT_THAT(refusal(index), AllOf(HasSubstr("norm.weight"), HasSubstr(kSecond)));
  index = index_;
  index["weight_map"]["nothing"] = kFirst;
  EXPECT_THAT(refusal(index), AllOf(HasSubstr("does not hold nothing"), HasSubstr(kFirst)));
  index = index_;
  index["weight_map"]["nothing"] = "absent.safetensors";
  EXPECT_THAT(refusal(index), AllOf(HasSubstr("absent.safetensors is not there")));
  index["weight_map"]["nothing"] = 7;
  EXPECT_THAT(refusal(index), HasSubstr("no file for tensor"));
  for (const json& other : {json(), json::object(), json::array(), json{{"weight_map", nullptr}},
                            json{{"weight_map", json::object()}}, json{{"weight_map", {1, 2}}}})
    EXPECT_THAT(refusal(other), HasSubstr("no weight_map")) << other;
  EXPECT_THAT(testing::error_of([&] { read_text_index("{\"weight_map\": {"); }), HasSubstr("JSON"));
  EXPECT_THAT(testing::error_of([&] { read_text_index("{" + std::string(5 << 20, ' ') + "}"); }),
              HasSubstr("index.json"));
}

TEST_F(Parts, AreFew) {
  json index;
  for (int i = 0; i < 1001; ++i)
    index["weight_map"][std::to_string(i)] = std::to_string(i) + ".safetensors";
  EXPECT_THAT(refusal(index), HasSubstr("1001 parts"));
}

TEST_F(Parts, ATensorIsInOnePart) {
  TensorMap second = parts_[kSecond];
  second.emplace("of.both", Tensor::f32({1}, {1}));
  write_safetensors(inner_ / kSecond, second);
  TensorMap first = parts_[kFirst];
  first.emplace("of.both", Tensor::f32({1}, {1}));
  write_safetensors(inner_ / kFirst, first);
  EXPECT_THAT(refusal(index_), HasSubstr("two of its parts hold of.both"));
}

TEST(PartNames, AreKnown) {
  EXPECT_TRUE(is_one_of_parts("a/model-00002-of-00005.safetensors"));
  EXPECT_TRUE(is_one_of_parts("pytorch_model-00001-of-00002.bin"));
  EXPECT_FALSE(is_one_of_parts("model-00001-of-00001.safetensors"));
  EXPECT_FALSE(is_one_of_parts("model-00002-of-00005/model.safetensors"));
  EXPECT_FALSE(is_one_of_parts("model.safetensors"));
}

}  // namespace
}  // namespace nestvit
