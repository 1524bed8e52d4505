// Datasets: a size, a sample by index, labels and class names. Reading is thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "image/sample.h"

namespace nestvit {

// Something in the data's place that is not read, in a sentence without a full stop.
struct NotRead {
  std::string text;
  bool expected = false;  // a readme, a list of labels: said, but no reason to warn
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Encoded bytes or a raw image, with its label and name. Throws Error when it cannot be read.
  virtual Sample get(int64_t index) const = 0;
  virtual int label(int64_t index) const = 0;  // without reading the image
  virtual std::string name(int64_t index) const = 0;
  // Tells the samples apart, wherever the data lies: the relative path.
  virtual std::string key(int64_t index) const { return name(index); }
  // Whether it is a seeded share (DatasetOptions::val_share) of data that has no parts of its own.
  virtual bool is_share() const { return false; }
  virtual const std::vector<std::string>& classes() const = 0;
  virtual std::string kind() const = 0;  // "image folder", "cifar10", ...
  // The index of the first sample of each shard, where samples lie in large files; else nothing.
  virtual std::vector<int64_t> shard_starts() const { return {}; }
  // What lies in the data's place beside the samples: files of other extensions, folders that are
  // neither parts nor classes, ...
  virtual std::vector<NotRead> not_read() const { return {}; }
  // Writes an index for DatasetOptions::index of the next time. Image folders, TFDS and WebDataset
  // do; others write nothing, nor does a dataset whose index is still right.
  virtual void save_index(const std::filesystem::path&) const {}
};

enum class ClassOrder { kNatural, kPlain };  // class2 < class10, or byte order (torchvision)

struct DatasetOptions {
  // A folder, a .csv or .tsv list, or .tar files (DIR/x-{0000..0009}.tar). Empty with the name
  // "fashion-mnist": the system's copy; with a name that TFDS has: $TFDS_DATA_DIR or
  // ~/tensorflow_datasets.
  std::filesystem::path root;
  // --dataset: one of dataset_names(), or as timm and torchvision spell it ("torch/cifar10").
  // "": recognised from what the folder holds.
  std::string name;
  // "train", "val" (synonyms as timm: validation, valid, eval) or "test".
  std::string split = "train";
  ClassOrder class_order = ClassOrder::kNatural;
  std::filesystem::path class_map;  // one name per line, line number = index; data/classes.h
  // --labels: the classes of the images of a val/ without class folders; data/formats/imagenet.h.
  // Empty: looked for beside the images.
  std::filesystem::path labels_file;
  // The share of each class of a folder without val/ that goes to "val": the images whose seeded
  // hash of the relative path ranks lowest, so that the part hardly changes when other files come
  // or go. 0: all to "train"; 1: all to "val".
  double val_share = 0.2;
  uint64_t seed = 42;
  // A file that save_index() wrote: unchanged files and folders are taken from it. Need not exist;
  // a damaged or outdated one costs a line in the log.
  std::filesystem::path index;
};

// The names that --dataset takes ("tfds/NAME" stands for any dataset of TFDS), and the same as text
// for help and errors: "tfds/NAME, imagenet2012, ... or folder".
std::vector<std::string> dataset_names();
std::string dataset_names_text(const std::string& conjunction = "or");

// Throws Error: nothing there, no image found, one class only, empty class, unknown label, ...
std::unique_ptr<Dataset> open_dataset(const DatasetOptions& options);

// Says once what is not read of these datasets: warnings, and lines for what is expected.
void say_not_read(const std::vector<const Dataset*>& datasets);

// Some of a dataset's samples, in the order of `indices` (--limit, tests).
std::unique_ptr<Dataset> subset(std::unique_ptr<Dataset> dataset, std::vector<int64_t> indices);

}  // namespace nestvit
