// Datasets as TensorFlow Datasets (TFDS) stores them, read without it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/dataset.h"

namespace nestvit {

// options.name: "" (the root must then hold one dataset), "cifar10", "tfds/NAME",
// "tfds/NAME/CONFIG", "tfds/NAME:VERSION"; "imagenet" and "imagenet2012" both mean imagenet2012.
// Records must have the features image (JPEG or PNG) and label. Opening goes through the frames of
// all records of the split, shards in parallel, and reads their labels; an image is checked by its
// CRC when it is read, so that damage makes a bad image, not a bad dataset.
std::unique_ptr<Dataset> open_tfds(const DatasetOptions& options);

// Whether `root` is a version's folder, a dataset's folder, or holds datasets.
bool looks_like_tfds(const std::filesystem::path& root);
// Whether `root` is or holds the dataset `name` ("cifar10").
bool has_tfds(const std::filesystem::path& root, const std::string& name);

// $TFDS_DATA_DIR, else ~/tensorflow_datasets.
std::filesystem::path tfds_data_dir();

}  // namespace nestvit
