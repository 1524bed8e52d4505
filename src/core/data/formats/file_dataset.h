// A dataset of image files: image folders and lists are read into this form.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/formats/image_files.h"
#include "data/index/path_list.h"
#include "data/split.h"

namespace nestvit {

class FileDataset : public Dataset {
 public:
  struct Files {
    std::filesystem::path base;  // what relative paths are relative to
    PathList paths;              // relative (or absolute), one per image
    std::vector<int> labels;     // [paths.size()]
    std::vector<std::string> classes;
    std::vector<NotRead> not_read = {};
    bool share = false;  // of data without parts, as Dataset::is_share()
  };
  using SaveIndex = std::function<void(const Files&, const std::filesystem::path&)>;
  // `save_index` may be empty.
  FileDataset(std::string kind, Files files, SaveIndex save_index = {})
      : kind_(std::move(kind)), files_(std::move(files)), save_index_(std::move(save_index)) {}
  int64_t size() const override { return files_.paths.size(); }
  Sample get(int64_t index) const override;
  int label(int64_t index) const override { return files_.labels.at(index); }
  std::string name(int64_t index) const override {
    return (files_.base / files_.paths.at(index)).string();
  }
  std::string key(int64_t index) const override { return files_.paths.at(index); }
  bool is_share() const override { return files_.share; }
  const std::vector<std::string>& classes() const override { return files_.classes; }
  std::string kind() const override { return kind_; }
  std::vector<NotRead> not_read() const override { return files_.not_read; }
  void save_index(const std::filesystem::path& file) const override {
    if (save_index_) save_index_(files_, file);
  }

 private:
  std::string kind_;
  Files files_;
  SaveIndex save_index_;
};

// Only the items `part`, in that order.
FileDataset::Files select(const FileDataset::Files& files, const std::vector<int64_t>& part);

// The share of undivided data that belongs to `split` (data/split.h).
FileDataset::Files seeded_share(const FileDataset::Files& files, const DatasetOptions& options,
                                Split split);

}  // namespace nestvit
