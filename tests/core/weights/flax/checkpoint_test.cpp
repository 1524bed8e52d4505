// Official checkpoint folders: the goldens' own, and damaged ones.
#include "weights/flax/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "support/errors.h"
#include "support/golden_model.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace std::string_literals;

TEST(FlaxCheckpointGolden, LatestOfAFolderIsTheGoldenParameters) {
  for (const fs::path& folder : testing::golden_cases("flax", "checkpoints-0/checkpoint")) {
    const auto contents = testing::golden_json(folder / "checkpoint_contents.json");
    const fs::path inside = folder / "checkpoints-0";
    const auto latest = inside / (contents.at("latest").get<std::string>() + ".flax");
    // reference.md C.2: the last component says nothing; the text file does
    for (const fs::path& name : {inside, inside / "ckpt.39", inside / "whatever", latest})
      EXPECT_EQ(find_flax_checkpoint(name), latest) << name;
    const FlaxCheckpoint checkpoint = read_flax_checkpoint(latest);
    EXPECT_EQ(checkpoint.step, contents.at("latest_step").get<int64_t>());
    testing::expect_same(checkpoint.params, testing::golden_flax_params(folder), latest.string());
    testing::expect_same(checkpoint.batch_stats, testing::golden_flax_batch_stats(folder),
                         latest.string());
  }
}

TEST(FlaxCheckpointGolden, AnOlderNumberIsReadWhenItIsNamed) {
  bool any = false;
  for (const fs::path& folder : testing::golden_cases("flax", "checkpoints-0/checkpoint")) {
    const auto contents = testing::golden_json(folder / "checkpoint_contents.json");
    if (!contents.contains("previous")) continue;
    any = true;
    const fs::path older =
        folder / "checkpoints-0" / (contents.at("previous").get<std::string>() + ".flax");
    const FlaxCheckpoint checkpoint = read_flax_checkpoint(find_flax_checkpoint(older).value());
    EXPECT_EQ(checkpoint.step, contents.at("previous_step").get<int64_t>());
  }
  EXPECT_TRUE(any);
}

class FlaxFolder : public ::testing::Test {
 protected:
  FlaxFolder() {
    params_["A_0/kernel"] = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
    params_["A_0/sub/bias"] = Tensor::f32({1}, {-7});
    params_["B_0/scale"] = Tensor::f32({0, 4}, {});
  }

  std::vector<std::byte> written() {
    write_flax_checkpoint(folder_ / "out", params_, {});
    return read_file(folder_ / "out" / "ckpt-1.flax");
  }
  static FlaxCheckpoint parse(std::vector<std::byte> bytes) {
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    return parse_flax_checkpoint(*owner, owner, "x");
  }
  static std::string message(const std::string& text) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return testing::error_of([&] { parse({data, data + text.size()}); });
  }

  const testing::TempDir folder_;
  TensorMap params_;
};

TEST_F(FlaxFolder, CutAnywhereIsAnError) {
  const auto whole = written();
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(parse({whole.begin(), whole.begin() + length}), Error) << length;
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(parse(longer), Error);
}

TEST_F(FlaxFolder, AnyChangedByteIsReadOrRefused) {
  const auto whole = written();
  int read = 0, refused = 0;
  for (size_t i = 0; i < whole.size(); ++i)
    for (int value : {0x00, 0x7f, 0x80, 0x90, 0xc1, 0xc7, 0xc9, 0xdd, 0xdf, 0xff}) {
      auto changed = whole;
      changed[i] = static_cast<std::byte>(value);
      try {
        for (const auto& [name, tensor] : parse(changed).params)
          EXPECT_EQ(std::ssize(tensor.to_f32()), tensor.size());
        ++read;
      } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("x")) << "names the file";
        ++refused;
      }
    }
  EXPECT_GT(read, 0) << "a changed value of a tensor is a value all the same";
  EXPECT_GT(refused, 0) << "a changed name, length or type is not";
}

TEST_F(FlaxFolder, HostileTreesAreRefused) {
  std::string deep = "\x81\xa9optimizer";
  for (int i = 0; i < 100000; ++i)
    deep +=
        "\x81\xa1"
        "a";
  EXPECT_THAT(message(deep), HasSubstr("nested deeper"));
  // a map that claims four billion entries
  EXPECT_THAT(message("\xdf\xff\xff\xff\xff\xa4step\x01"s), HasSubstr("ends"));
  EXPECT_THAT(message("\x81\xa4step\xcd\x01\x01"), HasSubstr("optimizer/target"));
  EXPECT_THAT(message("\x81\xa9optimizer\x81\xa6target\x81\x01\x02"), HasSubstr("not text"));
  EXPECT_THAT(message("PK\x03\x04...."), HasSubstr("TrainState"));
  // 4 floats claimed, one there
  EXPECT_THAT(message("\x81\xa9optimizer\x81\xa6target\x81\xa1w\xc7\x11\x01\x93\x91\x04\xa7"
                      "float32\xc4\x04\0\0\0\0"s),
              HasSubstr("has 4 bytes"));
}

TEST_F(FlaxFolder, TextFileThatNamesNothing) {
  const auto expect = [&](const std::string& text, const std::string& words) {
    write_file(folder_ / "checkpoint", text);
    testing::expect_error([&] { find_flax_checkpoint(folder_.path()); }, {words});
  };
  expect("", "model_checkpoint_path");
  expect("model_checkpoint_path: ", "model_checkpoint_path");
  expect("all_model_checkpoint_paths: \"ckpt-1\"\n", "model_checkpoint_path");
  expect("model_checkpoint_path: \"ckpt-9\"\n", "ckpt-9.flax");
  fs::remove(folder_ / "checkpoint");
  EXPECT_FALSE(find_flax_checkpoint(folder_.path()));
  EXPECT_FALSE(find_flax_checkpoint(folder_ / "nothing" / "there"));
}

// A folder that was copied from another machine names its checkpoint by the old absolute path.
TEST_F(FlaxFolder, AbsolutePathOfAnotherMachine) {
  written();
  write_file(folder_ / "out" / "checkpoint",
             std::string_view("model_checkpoint_path: \"/elsewhere/run/ckpt-1\"\n"));
  EXPECT_EQ(find_flax_checkpoint(folder_ / "out"), folder_ / "out" / "ckpt-1.flax");
}

}  // namespace
}  // namespace nestvit
