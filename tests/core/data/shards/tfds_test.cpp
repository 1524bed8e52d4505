// TFDS trees: where they are found, their splits, labels and names, and everything damaged.
#include "data/shards/tfds.h"

#include "data/loader.h"
#include "data/shards/tfrecord.h"
#include "image/codecs/codec.h"
#include "support/data/tfrecord_writer.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const std::vector<std::string> kNames = {"cat", "dog", "emu"};

// Record `i` of a split as TFDS writes CIFAR: label i % 3, a PNG of colour i, id "train_00005".
std::string cifar_record(const std::string& split, int i) {
  char id[32];
  std::snprintf(id, sizeof id, "%s_%05d", split.c_str(), i);
  return record(example(feature("id", bytes_list({id})) +
                        feature("image", bytes_list({png_text(static_cast<uint8_t>(i))})) +
                        feature("label", int_list({i % 3}))));
}

std::string info_json(const std::string& name,
                      const std::map<std::string, std::vector<int>>& splits) {
  std::string text;
  for (const auto& [split, lengths] : splits) {
    std::string list;
    for (int length : lengths)
      list += (list.empty() ? "\"" : ", \"") + std::to_string(length) + "\"";
    text += (text.empty() ? "" : ",") + ("{\"name\": \"" + split) + "\", \"numBytes\": \"1\", " +
            "\"shardLengths\": [" + list + "]}";
  }
  return "{\"name\": \"" + name + "\", \"version\": \"1.0.0\", \"fileFormat\": \"tfrecord\", " +
         "\"splits\": [" + text + "]}";
}

// A dataset in folder/NAME/VERSION or folder/NAME/CONFIG/VERSION, records in order over the shards.
fs::path add(const DataDir& folder, const std::string& name, const std::string& version,
             const std::map<std::string, std::vector<int>>& splits) {
  const std::string under = name + "/" + version + "/";
  const std::string dataset = name.substr(0, name.find('/'));
  for (const auto& [split, lengths] : splits) {
    int next = 0;
    for (size_t s = 0; s < lengths.size(); ++s) {
      std::string shard;
      for (int i = 0; i < lengths[s]; ++i) shard += cifar_record(split, next++);
      folder.text(
          under + shard_name(dataset, split, static_cast<int>(s), static_cast<int>(lengths.size())),
          shard);
    }
  }
  folder.text(under + "dataset_info.json", info_json(dataset, splits));
  folder.text(under + "label.labels.txt", "cat\ndog\nemu\n");
  folder.text(under + "features.json", "{}");
  return folder.path() / name / version;
}

// Sets an environment variable for the time of a test; an empty value unsets it.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* before = getenv(name)) before_ = before;
    set(value);
  }
  ~Environment() { set(before_); }

 private:
  void set(const std::string& value) {
    if (value.empty())
      unsetenv(name_);
    else
      setenv(name_, value.c_str(), 1);
  }
  const char* name_;
  std::string before_;
};

TEST(Tfds, RecordsInOrderOverShards) {
  DataDir folder;
  add(folder, "pets", "1.0.0", {{"train", {4, 0, 3}}, {"test", {2}}});
  const auto train = open(folder.path()), val = open(folder.path(), "val");
  EXPECT_EQ(train->kind(), "tfds pets/1.0.0");
  EXPECT_EQ(train->classes(), kNames);
  ASSERT_EQ(train->size(), 7);
  EXPECT_EQ(val->size(), 2);
  EXPECT_EQ(open(folder.path(), "test")->size(), 2);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(train->label(i), i % 3);
    EXPECT_EQ(train->name(i), "train_0000" + std::to_string(i));
    const Sample sample = train->get(i);
    EXPECT_EQ(sample.label, i % 3);
    EXPECT_EQ(sample.name, train->name(i));
    EXPECT_EQ(decode_image(sample.encoded, {}, sample.name).pixels[0], i);
  }
  EXPECT_THROW(train->get(7), std::out_of_range);
}

TEST(Tfds, FeaturesThatAreNotReadAreNamed) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {3}}, {"test", {3}}});
  EXPECT_TRUE(open(folder.path())->not_read().empty());
  std::string shard;
  for (int i = 0; i < 3; ++i)
    shard += record(example(feature("depth", bytes_list({png_text(200)})) +
                            feature("coarse_label", int_list({7})) +
                            feature("image", bytes_list({png_text(static_cast<uint8_t>(i))})) +
                            feature("label", int_list({i}))));
  folder.text("pets/1.0.0/" + shard_name("pets", "train", 0, 1), shard);
  const auto train = open(folder.path());
  EXPECT_EQ(train->label(2), 2);
  EXPECT_EQ(decode_image(train->get(2).encoded, {}, "").pixels[0], 2);
  ASSERT_EQ(train->not_read().size(), 1u);
  EXPECT_THAT(train->not_read()[0].text,
              HasSubstr(version.string() + ": features that are not read: coarse_label, depth"));
  EXPECT_TRUE(train->not_read()[0].expected);
}

TEST(Tfds, FoundFromTreeDatasetAndVersion) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {3}}, {"test", {3}}});
  for (const auto& root : {folder.path(), folder.path() / "pets", version, version / ""})
    for (const char* name : {"", "tfds/pets", "tfds/pets:1.0.0", "tfds"})
      EXPECT_EQ(open(root, "train", name)->kind(), "tfds pets/1.0.0") << root << " " << name;
  expect_error([&] { open(folder.path(), "train", "tfds/cars"); },
               {"no TFDS dataset 'cars'", "it holds of TFDS: pets", "cars-SPLIT.tfrecord"});
  expect_error([&] { open(version, "train", "tfds/cars"); }, {"no TFDS dataset 'cars'"});
  expect_error([&] { open(folder.path(), "train", "tfds/pets:2.0.0"); }, {"pets/2.0.0"});

  add(folder, "cars", "1.0.0", {{"train", {3}}, {"test", {3}}});
  EXPECT_EQ(open(folder.path(), "train", "tfds/cars")->kind(), "tfds cars/1.0.0");
  expect_error([&] { open(folder.path()); }, {"several datasets", "cars, pets", "tfds/cars"});
}

TEST(Tfds, NewestVersion) {
  DataDir folder;
  for (const char* version : {"2.0.0", "10.0.0", "9.9.9"})
    add(folder, "pets", version, {{"train", {3}}, {"test", {3}}});
  folder.text("pets/11.0.0/unfinished.txt", "");
  EXPECT_EQ(open(folder.path())->kind(), "tfds pets/10.0.0");
  EXPECT_EQ(open(folder.path(), "train", "tfds/pets:2.0.0")->kind(), "tfds pets/2.0.0");
}

TEST(Tfds, Configurations) {
  DataDir folder;
  add(folder, "pets/small", "1.0.0", {{"train", {3}}, {"test", {3}}});
  EXPECT_EQ(open(folder.path(), "train", "tfds/pets")->size(), 3);
  add(folder, "pets/large", "1.0.0", {{"train", {5}}, {"test", {3}}});
  EXPECT_EQ(open(folder.path(), "train", "tfds/pets/large")->size(), 5);
  expect_error([&] { open(folder.path(), "train", "tfds/pets"); },
               {"'pets'", "pets/large", "pets/small"});
}

TEST(Tfds, WithoutItsDescription) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {2, 2}}, {"validation", {3}}});
  fs::remove(version / "dataset_info.json");
  fs::remove(version / "features.json");
  EXPECT_EQ(open(folder.path())->size(), 4);
  fs::remove(version / "label.labels.txt");
  EXPECT_THAT(open(folder.path())->classes(), ElementsAre("0", "1", "2"));
  folder.text("pets/1.0.0/features.json",
              R"({"featuresDict": {"features": {"label": {"classLabel": {"numClasses": "5"}}}}})");
  EXPECT_EQ(open(folder.path())->classes().size(), 5u);
  folder.text("map.txt", "a\nb\nc\nd\ne\n");
  DatasetOptions options;
  options.root = folder.path();
  options.split = "val";
  options.class_map = folder.path() / "map.txt";
  EXPECT_EQ(open_dataset(options)->classes()[4], "e");
}

TEST(Tfds, SplitsOfOtherDatasets) {
  DataDir folder;
  // Only a training split: a seeded share is for validation, as with a folder.
  const auto version = add(folder, "pets", "1.0.0", {{"train", {30, 30}}});
  const auto train = open(folder.path()), val = open(folder.path(), "val");
  EXPECT_EQ(train->size(), 48);
  EXPECT_EQ(val->size(), 12);
  auto all = names_of(*train);
  all.merge(names_of(*val));
  EXPECT_EQ(all.size(), 60u);
  expect_error([&] { open(folder.path(), "test"); }, {"no shards of the split 'test'", "train"});
  // A validation split that is described but not there is no reason to divide the training split.
  folder.text("pets/1.0.0/dataset_info.json",
              info_json("pets", {{"train", {30, 30}}, {"validation", {6}}}));
  EXPECT_EQ(open(folder.path())->size(), 60);
  expect_error([&] { open(folder.path(), "val"); },
               {"no shards of the split 'val'", "there are: train", "pets-{validation,test}"});
}

TEST(Tfds, ValidationBeforeTest) {
  DataDir folder;
  add(folder, "pets", "1.0.0", {{"train", {3}}, {"validation", {4}}, {"test", {5}}});
  EXPECT_EQ(open(folder.path(), "val")->size(), 4);
  EXPECT_EQ(open(folder.path(), "test")->size(), 5);
}

TEST(Tfds, OfficialNames) {
  DataDir folder;
  add(folder, "imagenet2012", "5.1.0", {{"train", {3}}, {"validation", {4}}});
  add(folder, "cifar10", "3.0.2", {{"train", {5}}, {"test", {6}}});
  for (const char* name : {"imagenet", "imagenet2012", "tfds/imagenet2012"})
    EXPECT_EQ(open(folder.path(), "val", name)->size(), 4) << name;
  for (const char* name : {"cifar10", "tfds/cifar10"})
    EXPECT_EQ(open(folder.path(), "val", name)->size(), 6) << name;
  folder.bytes("cifar-10-batches-bin/test_batch.bin", make_cifar(2, 1, 10));
  EXPECT_EQ(open(folder.path(), "val", "cifar10")->kind(), "cifar10");
  EXPECT_EQ(open(folder.path(), "val", "tfds/cifar10")->size(), 6);
}

TEST(Tfds, UsualPlaces) {
  DataDir folder;
  add(folder, "tensorflow_datasets/cifar10", "3.0.2", {{"train", {5}}, {"test", {6}}});
  const Environment none("TFDS_DATA_DIR", "");
  {
    const Environment home("HOME", folder.path().string());
    for (const char* name : {"cifar10", "tfds/cifar10"})
      EXPECT_EQ(open("", "val", name)->size(), 6) << name;
    expect_error([&] { open("", "val", "imagenet2012"); }, {"'imagenet2012'", "cifar10"});
  }
  const Environment home("HOME", "/nowhere");
  expect_error([&] { open("", "val", "tfds/cifar10"); },
               {"/nowhere/tensorflow_datasets", "--data-dir", "TFDS_DATA_DIR"});
  const Environment set("TFDS_DATA_DIR", (folder.path() / "tensorflow_datasets").string());
  EXPECT_EQ(open("", "val", "tfds/cifar10")->size(), 6);
  expect_error<UsageError>([&] { open("", "val", ""); }, {"no data given"});
}

TEST(Tfds, NamesOfSamples) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {1}}, {"test", {1}}});
  const std::string image = feature("image", bytes_list({png_text(1)}));
  const std::string rest = image + feature("label", int_list({1}));
  folder.text("pets/1.0.0/pets-test.tfrecord-00000-of-00001",
              record(example(feature("file_name", bytes_list({"a.JPEG"})) +
                             feature("id", bytes_list({"b"})) + rest)) +
                  record(example(feature("id", bytes_list({"b"})) + rest)) + record(example(rest)) +
                  record(example(feature("file_name", bytes_list({"\x1b[2J"})) + rest)));
  folder.text("pets/1.0.0/dataset_info.json", info_json("pets", {{"train", {1}}, {"test", {4}}}));
  const auto dataset = open(folder.path(), "test");
  EXPECT_EQ(dataset->name(0), "a.JPEG");
  EXPECT_EQ(dataset->name(1), "b");
  EXPECT_EQ(dataset->name(2), "pets-test.tfrecord-00000-of-00001#2");
  EXPECT_EQ(dataset->name(3), "pets-test.tfrecord-00000-of-00001#3");
}

TEST(Tfds, ManyShardsInParallel) {
  DataDir folder;
  std::vector<int> lengths;
  int records = 0;
  for (int s = 0; s < 64; ++s) {
    lengths.push_back(s * 7 % 13);
    records += lengths.back();
  }
  add(folder, "pets", "1.0.0", {{"train", lengths}, {"test", {1}}});
  for (int run = 0; run < 3; ++run) {
    const auto dataset = open(folder.path());
    ASSERT_EQ(dataset->size(), records);
    for (int i = 0; i < records; ++i) {
      char name[32];
      std::snprintf(name, sizeof name, "train_%05d", i);
      ASSERT_EQ(dataset->name(i), name);
      ASSERT_EQ(dataset->label(i), i % 3);
    }
  }
}

// The byte `at` of a file, changed.
void damage(const fs::path& path, size_t at) {
  std::string text = file_text(path);
  text.at(at) = static_cast<char>(text[at] ^ 1);
  std::ofstream(path, std::ios::binary) << text;
}

TEST(TfdsHostile, ADamagedRecordIsABadImage) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {6}}, {"test", {1}}});
  const fs::path shard = version / "pets-train.tfrecord-00000-of-00001";
  const size_t begin = cifar_record("train", 0).size() + cifar_record("train", 1).size();
  const size_t payload = cifar_record("train", 2).size() - kRecordFrame;
  // Anywhere in a payload or its CRC: image, label, keys or lengths.
  const std::string intact = file_text(shard);
  for (size_t i = 0; i < payload + 4; ++i) {
    damage(shard, begin + 12 + i);
    const auto dataset = open(folder.path());
    ASSERT_EQ(dataset->size(), 6);
    for (int k : {0, 1, 3, 4, 5}) ASSERT_EQ(dataset->get(k).label, k % 3);
    expect_error([&] { dataset->get(2); },
                 {shard.string(), "byte " + std::to_string(begin), "damaged"});
    dataset->name(2);
    dataset->label(2);
    std::ofstream(shard, std::ios::binary) << intact;
  }

  damage(shard, begin + 60);
  const auto dataset = open(folder.path());
  Preprocessing preprocessing;
  preprocessing.image_size = 2;
  preprocessing.channels = 3;
  preprocessing.mean = preprocessing.std = {0.5, 0.5, 0.5};
  LoaderOptions options;
  options.on_bad_image = OnBadImage::kSkip;
  Loader loader(
      *dataset, in_order(6),
      [](const Sample& sample, int64_t) {
        const Image image = decode_image(sample.encoded, {}, sample.name);
        return Pixels{2, 2, 3, {image.pixels.begin(), image.pixels.end()}};
      },
      preprocessing, options);
  EXPECT_THAT(loader.next()->indices, ElementsAre(0, 1, 3, 4, 5));
  ASSERT_EQ(loader.skipped().size(), 1u);
  EXPECT_THAT(loader.skipped()[0].second, HasSubstr("damaged"));
}

TEST(TfdsHostile, DamagedFrames) {
  DataDir folder;
  const auto version = add(folder, "pets", "1.0.0", {{"train", {3, 3}}, {"test", {1}}});
  const fs::path shard = version / "pets-train.tfrecord-00001-of-00002";
  const size_t first = cifar_record("train", 3).size();
  const size_t two = first + cifar_record("train", 4).size();
  damage(shard, first + 3);
  expect_error([&] { open(folder.path()); },
               {shard.string(), "byte " + std::to_string(first), "CRC of its length"});
  damage(shard, first + 3);
  fs::resize_file(shard, two);
  expect_error([&] { open(folder.path()); },
               {shard.string(), "2 records", "dataset_info.json says 3"});
  fs::resize_file(shard, two - 1);
  expect_error([&] { open(folder.path()); }, {shard.string(), "cut off"});
  fs::remove(shard);
  expect_error([&] { open(folder.path()); },
               {"1 of 2 shards of the split 'train'", "pets-train.tfrecord-00001-of-00002"});
  fs::remove(version / "dataset_info.json");
  expect_error([&] { open(folder.path()); }, {"1 of 2 shards"});
  folder.text("pets/1.0.0/pets-train.tfrecord-00000-of-00001", "");
  expect_error([&] { open(folder.path()); }, {"shards of 1 and of 2", "side by side"});
}

TEST(TfdsHostile, RecordsOfAnotherKind) {
  DataDir folder;
  add(folder, "pets", "1.0.0", {{"train", {3}}, {"test", {1}}});
  const auto expect = [&](const std::string& features, const std::vector<std::string>& parts) {
    folder.text("pets/1.0.0/pets-test.tfrecord-00000-of-00001", record(features));
    expect_error([&] { open(folder.path(), "test")->get(0); }, parts);
  };
  const std::string image = feature("image", bytes_list({png_text(1)}));
  const auto labelled = [&](int64_t label) {
    return example(image + feature("label", int_list({label})));
  };
  expect(labelled(-1), {"byte 0", "label -1", "no labels"});
  expect(labelled(3), {"label 3", "0 to 2"});
  expect(labelled(-2), {"label -2"});
  expect(labelled(int64_t{1} << 32), {"label 4294967296"});
  expect(example(image), {"no feature 'label'", "image"});
  expect(example(feature("label", int_list({1}))), {"no feature 'image'", "label"});
  expect(example(image + feature("label", int_list({1, 2}))), {"2 labels"});
  expect(example(image + feature("label", bytes_list({"cat"}))), {"'label'", "int64"});
  expect(example(feature("image", bytes_list({"a", "b"})) + feature("label", int_list({1}))),
         {"2 images"});
  expect(example(feature("image", bytes_list({""})) + feature("label", int_list({1}))),
         {"1 images of 0 bytes"});
  expect(example(feature("image", int_list({1})) + feature("label", int_list({1}))),
         {"'image'", "expected bytes"});
  expect("nonsense", {"tf.train.Example"});
}

// Class folders are never taken for datasets.
TEST(TfdsTree, AnImageFolderIsNone) {
  DataDir folder;
  folder.text("1.0.0/a.jpg", "x");
  folder.text("2.0.0/b.jpg", "x");
  folder.text("dataset_info.json", "{}");
  EXPECT_FALSE(looks_like_tfds(folder.path()));
  EXPECT_EQ(open(folder.path())->kind(), "image folder");
}

}  // namespace
}  // namespace nestvit
