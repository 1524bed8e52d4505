// The files of TensorFlow Datasets: ROOT/NAME/VERSION/{dataset_info.json, features.json,
// label.labels.txt, NAME-SPLIT.tfrecord-00000-of-00001, ...}.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/split.h"

namespace nestvit {

// "cifar10-train.tfrecord-00000-of-00001".
struct ShardName {
  std::string file, dataset, split;
  int64_t index = 0, count = 0;
};
std::optional<ShardName> parse_shard_name(const std::string& file);

// Records per shard of a split by dataset_info.json; empty when it does not say.
using ShardLengths = std::vector<int64_t>;
// By split name. Throws Error: not JSON, another structure, records stored in another format.
std::map<std::string, ShardLengths> parse_tfds_info(const std::string& text,
                                                    const std::string& origin);

// Classes of the feature "label" in features.json, in any of its forms; 0 when it does not say.
int64_t parse_tfds_class_count(const std::string& text);

// A dataset as users name it: "cifar10", "tfds/imagenet_v2/matched-frequency:3.0.0".
struct TfdsName {
  std::string path;     // NAME or NAME/CONFIG; empty: whatever is there
  std::string version;  // empty: the newest
  std::string dataset() const { return path.substr(0, path.find('/')); }
};
TfdsName parse_tfds_name(const std::string& name);

// The version's folder of that dataset: `root` itself or a folder below it. Nothing when there is
// none, or when no name is given and there are several.
std::optional<std::filesystem::path> find_tfds(const std::filesystem::path& root,
                                               const TfdsName& name);
// The datasets that `root` holds, by name.
std::vector<std::string> datasets_in(const std::filesystem::path& root);

// One split's shards, in order.
struct TfdsShards {
  std::string dataset, split;
  std::vector<std::filesystem::path> paths;
  ShardLengths lengths;  // empty: not known
  // The dataset has this split only, of which a share is asked for.
  bool undivided = false;
};
// The shards that hold `split` ("validation" or else "test" for kVal). Throws Error: no such split,
// shards missing.
TfdsShards find_shards(const std::filesystem::path& version_folder, Split split);

}  // namespace nestvit
