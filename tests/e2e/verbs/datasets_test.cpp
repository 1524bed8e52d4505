// nestvit eval on ImageNet's usual forms: the same images and classes, the same numbers.
#include <cmath>
#include <nlohmann/json.hpp>

#include "support/cli_test.h"
#include "support/data/tfrecord_writer.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::vector<std::string> kSynsets = {"n01440764", "n01443537", "n01484850"};
const std::vector<int> kLabels = {1, 0, 1, 2, 1};  // of the images; the model always answers 1

class DatasetsCli : public CliTest {
 protected:
  void SetUp() override {
    save("model", constant_model({0, std::log(2.0f), 0}, kSynsets));
    for (size_t i = 0; i < kLabels.size(); ++i) {
      write_image("folder/val/" + kSynsets[kLabels[i]] + "/" + name(i), {9, 9, 9});
      write_image("flat/val/" + name(i), {9, 9, 9});
    }
  }

  static std::string name(size_t i) { return fmt::format("ILSVRC2012_val_{:08}.PNG", i + 1); }

  // "val" of imagenet2012, two shards.
  void write_tfds() const {
    std::string shards[2];
    for (size_t i = 0; i < kLabels.size(); ++i)
      shards[i / 3] += record(example(feature("file_name", bytes_list({name(i)})) +
                                      feature("image", bytes_list({text("flat/val/" + name(i))})) +
                                      feature("label", int_list({kLabels[i]}))));
    const std::string folder = "tfds/imagenet2012/5.1.0/";
    fs::create_directories(path(folder));
    for (int s = 0; s < 2; ++s)
      write_file(path(folder + shard_name("imagenet2012", "validation", s, 2)), shards[s]);
    write_file(path(folder + "label.labels.txt"), fmt::format("{}\n", fmt::join(kSynsets, "\n")));
    write_file(path(folder + "dataset_info.json"),
               R"({"name": "imagenet2012", "version": "5.1.0", "fileFormat": "tfrecord",
                   "splits": [{"name": "validation", "shardLengths": ["3", "2"]}]})");
  }

  void expect_counts(const std::string& command, const std::string& kind) const {
    const Outcome outcome = shell(command);
    EXPECT_EQ(outcome.code, 0) << command << "\n" << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(kind)) << command;
    EXPECT_THAT(outcome.out, HasSubstr("5 images, 3 classes")) << command;
    EXPECT_THAT(outcome.out, HasSubstr("top-1    60.00 %")) << command;
  }
};

TEST_F(DatasetsCli, AllFormsGiveTheSame) {
  const std::string eval = "nestvit eval --model model ";
  expect_counts(eval + "--data-dir folder", "image folder");

  std::string lines;
  for (size_t i = 0; i < kLabels.size(); ++i)
    lines += fmt::format("{} {}\n", name(i), kSynsets[kLabels[i]]);
  write_file(path("labels"), lines);
  expect_counts(eval + "--data-dir flat --labels labels", "labelled images");
  expect_counts(eval + "--data-dir flat/val --labels labels", "labelled images");
  write_file(path("flat/val.txt"), lines);
  expect_counts(eval + "--data-dir flat", "labelled images");
  expect_counts(eval + "--data-dir flat --dataset imagenet", "labelled images");

  write_tfds();
  expect_counts(eval + "--data-dir tfds", "tfds imagenet2012/5.1.0");
  expect_counts(eval + "--data-dir tfds/imagenet2012/5.1.0", "tfds imagenet2012/5.1.0");
  for (const char* dataset : {"tfds/imagenet2012", "imagenet2012", "imagenet"})
    expect_counts(fmt::format("TFDS_DATA_DIR=tfds {}--dataset {}", eval, dataset), "imagenet2012");
}

TEST_F(DatasetsCli, ADamagedRecordIsNamedOrLeftOut) {
  write_tfds();
  const std::string shard =
      "tfds/imagenet2012/5.1.0/imagenet2012-validation.tfrecord-00001-of-00002";
  std::string bytes = text(shard);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  write_file(path(shard), bytes);
  expect_failure(nestvit("eval --model model --data-dir tfds"), 1,
                 {"00001-of-00002", "byte 0", "damaged"});
  const Outcome skipped = nestvit("eval --model model --data-dir tfds --on-bad-image skip");
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  EXPECT_THAT(skipped.out, HasSubstr("4 images"));
}

TEST_F(DatasetsCli, SaysWhatItLookedFor) {
  expect_failure(nestvit("eval --model model --data-dir flat"), 1, {"flat/val", "--labels"});
  expect_failure(nestvit("eval --model model --data-dir flat --dataset imagenet"), 1,
                 {"5 images", "LOC_val_solution.csv"});
  expect_failure(nestvit("eval --model model --data-dir folder --dataset tfds/cifar10"), 1,
                 {"no TFDS dataset 'cifar10'", "cifar10-SPLIT.tfrecord"});
  expect_failure(shell("TFDS_DATA_DIR=nowhere nestvit eval --model model --dataset tfds/cifar10"),
                 1, {"nowhere", "TFDS_DATA_DIR"});
}

}  // namespace
}  // namespace nestvit::testing
