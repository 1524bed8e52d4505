// WebDataset: samples in tar files ("shards"), as the members of one name: 00042.jpg and 00042.cls
// (data/shards/webdataset_scan.h).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

// options.root: a folder of .tar files, one of them, or a pattern DIR/name-{0000..0009}.tar. The
// shards of a split are those that _info.json or info.json (timm's) names, else those with "train",
// "val", "test" or a synonym between other characters of their names, else those in a folder of
// such a name; shards that name no split are "train". Without shards for "val" and "test", "val" is
// a seeded share of "train". Opening reads the headers of all members of the split and the labels,
// shards in parallel, and keeps 16 bytes of a sample. Throws Error naming shard and member: no
// image or no label, a label that is neither a number nor a name of the class map, anything that
// read_tar() refuses.
std::unique_ptr<Dataset> open_webdataset(const DatasetOptions& options);

// Whether `root` is a folder that holds .tar files and no folders, or such folders called as
// splits.
bool looks_like_webdataset(const std::filesystem::path& root);
// Whether it is a .tar file, or a pattern of some.
bool names_shards(const std::filesystem::path& root);

// "a-{0..2}{x,y}.tar" -> its six names. Throws Error: no whole brace, or more than 100,000 names.
std::vector<std::string> expand_braces(const std::string& pattern);

}  // namespace nestvit
