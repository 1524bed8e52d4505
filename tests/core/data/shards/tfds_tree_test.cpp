// Names, descriptions and shards of TFDS trees, without a record in them.
#include "data/shards/tfds_tree.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

TEST(TfdsInfo, ShardLengths) {
  const auto info = parse_tfds_info(
      R"({"name": "x", "splits": [{"name": "train", "shardLengths": ["10", 20]},
          {"name": "test", "numShards": "1", "statistics": {"numExamples": "10"}},
          {"name": "odd", "shardLengths": ["10", "Unknown"]}]})",
      "i.json");
  EXPECT_THAT(info.at("train"), ElementsAre(10, 20));
  EXPECT_TRUE(info.at("test").empty());
  EXPECT_TRUE(info.at("odd").empty());
  EXPECT_TRUE(parse_tfds_info("{}", "i.json").empty());
  for (const char* text : {"", "[", "[]", "3", "{\"splits\": 3}", "{\"splits\": [3]}",
                           "{\"splits\": [{\"name\": 3}]}", "{\"splits\": [{}]}"})
    expect_error([&] { parse_tfds_info(text, "i.json"); }, {"i.json"});
  expect_error([&] { parse_tfds_info(R"({"fileFormat": "array_record"})", "i.json"); },
               {"'array_record'", "tfrecord"});
}

TEST(TfdsInfo, ClassCounts) {
  EXPECT_EQ(parse_tfds_class_count(
                R"({"pythonClassName": "x.FeaturesDict", "featuresDict": {"features": {"label":
                    {"pythonClassName": "x.ClassLabel", "classLabel": {"numClasses": "10"}}}}})"),
            10);
  EXPECT_EQ(parse_tfds_class_count(
                R"({"type": "x.FeaturesDict", "content": {"label":
                    {"type": "x.ClassLabel", "content": {"num_classes": 7}}}})"),
            7);
  for (const char* text :
       {"", "[]", "{}", R"({"content": []})", R"({"content": {"label": {"num_classes": -3}}})",
        R"({"content": {"label": {"num_classes": "many"}}})",
        R"({"content": {"label": {"num_classes": 1e3}}})"})
    EXPECT_EQ(parse_tfds_class_count(text), 0) << text;
}

TEST(TfdsTree, ShardNames) {
  const auto shard = parse_shard_name("oxford-flowers-train.tfrecord-00007-of-00064");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->dataset, "oxford-flowers");
  EXPECT_EQ(shard->split, "train");
  EXPECT_EQ(shard->index, 7);
  EXPECT_EQ(shard->count, 64);
  for (const char* name :
       {"", "x", "x.tfrecord", "x-train.tfrecord", "x-train.tfrecord-00000",
        "-train.tfrecord-0-of-1", "train.tfrecord-00000-of-00001", "x-.tfrecord-00000-of-00001",
        "x-train.tfrecord-00001-of-00001", "x-train.tfrecord-00000-of-00000",
        "x-train.tfrecord--0001-of-00001", "x-train.tfrecord-0000a-of-00001",
        "x-train.tfrecord-00000-of-99999999999999999999", "x-train.tfrecord-00000-of-00001.part",
        "-of-.tfrecord-"})
    EXPECT_FALSE(parse_shard_name(name)) << name;
}

TEST(TfdsTree, Names) {
  EXPECT_EQ(parse_tfds_name("imagenet").path, "imagenet2012");
  EXPECT_EQ(parse_tfds_name("tfds/imagenet_v2/matched:3.0.0").path, "imagenet_v2/matched");
  EXPECT_EQ(parse_tfds_name("tfds/imagenet_v2/matched:3.0.0").version, "3.0.0");
  EXPECT_EQ(parse_tfds_name("tfds/imagenet_v2/matched").dataset(), "imagenet_v2");
  EXPECT_EQ(parse_tfds_name("").path, "");
}

TEST(TfdsTree, FindsOneDatasetOrTheOneThatIsNamed) {
  const DataDir folder;
  for (const std::string version : {"pets/1.0.0", "pets/10.0.0", "pets/9.0.0", "cars/2.0.0"}) {
    folder.text(version + "/dataset_info.json", "{}");
    folder.text(version + "/features.json", "{}");
  }
  EXPECT_THAT(datasets_in(folder.path()), ElementsAre("cars", "pets"));
  EXPECT_EQ(find_tfds(folder.path(), parse_tfds_name("tfds/pets")), folder / "pets/10.0.0");
  EXPECT_EQ(find_tfds(folder.path(), parse_tfds_name("tfds/pets:9.0.0")), folder / "pets/9.0.0");
  EXPECT_EQ(find_tfds(folder / "pets/1.0.0", {}), folder / "pets/1.0.0");
  EXPECT_EQ(find_tfds(folder / "cars", {}), folder / "cars/2.0.0");
  EXPECT_EQ(find_tfds(folder.path(), {}), std::nullopt) << "several";
  EXPECT_EQ(find_tfds(folder.path(), parse_tfds_name("tfds/boats")), std::nullopt);
}

TEST(TfdsTree, ShardsInOrderWithTheirLengths) {
  const DataDir folder;
  for (const char* shard : {"test.tfrecord-00000-of-00001", "train.tfrecord-00001-of-00002",
                            "train.tfrecord-00000-of-00002"})
    folder.text(std::string("pets-") + shard, "");
  folder.text("dataset_info.json",
              R"({"splits": [{"name": "train", "shardLengths": ["10", "20"]}]})");
  const TfdsShards train = find_shards(folder.path(), Split::kTrain);
  EXPECT_EQ(train.dataset, "pets");
  EXPECT_EQ(train.split, "train");
  EXPECT_THAT(train.paths, ElementsAre(folder / "pets-train.tfrecord-00000-of-00002",
                                       folder / "pets-train.tfrecord-00001-of-00002"));
  EXPECT_THAT(train.lengths, ElementsAre(10, 20));
  EXPECT_FALSE(train.undivided);
  EXPECT_EQ(find_shards(folder.path(), Split::kVal).split, "test");
  fs::remove(folder / "pets-train.tfrecord-00001-of-00002");
  expect_error([&] { find_shards(folder.path(), Split::kTrain); }, {"1 of 2 shards"});
}

TEST(TfdsTree, ATrainingSplitAloneIsUndivided) {
  const DataDir folder;
  folder.text("pets-train.tfrecord-00000-of-00001", "");
  EXPECT_TRUE(find_shards(folder.path(), Split::kTrain).undivided);
  EXPECT_TRUE(find_shards(folder.path(), Split::kVal).undivided);
  expect_error([&] { find_shards(folder.path(), Split::kTest); }, {"'test'", "train"});
}

}  // namespace
}  // namespace nestvit
