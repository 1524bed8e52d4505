// A dataset of image files: what the image folder and the list become once they are read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

class FileDataset : public Dataset {
 public:
  struct Files {
    std::filesystem::path base;      // what relative paths are relative to
    std::vector<std::string> paths;  // relative (or absolute), one per image
    std::vector<int> labels;         // [paths.size()]
    std::vector<std::string> classes;
  };
  FileDataset(std::string kind, Files files) : kind_(std::move(kind)), files_(std::move(files)) {}
  int64_t size() const override { return static_cast<int64_t>(files_.paths.size()); }
  Sample get(int64_t index) const override;
  int label(int64_t index) const override { return files_.labels.at(index); }
  std::string name(int64_t index) const override {
    return (files_.base / files_.paths.at(index)).string();
  }
  const std::vector<std::string>& classes() const override { return files_.classes; }
  std::string kind() const override { return kind_; }

 private:
  std::string kind_;
  Files files_;
};

// Only the items `part`, in that order.
FileDataset::Files select(FileDataset::Files files, const std::vector<int64_t>& part);

// By extension, any case: jpg, jpeg, png, webp. (What a file holds is found out by the decoder.)
bool has_image_extension(std::string_view name);
inline constexpr const char* kImageExtensions = "jpg, jpeg, png, webp";

}  // namespace nestvit
