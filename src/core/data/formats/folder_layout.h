// Which folders of a folder of images are its parts, which are classes, and which are neither.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"

namespace nestvit {

struct FolderLayout {
  // Parts with class folders in them: DIR/train, or DIR/train/train as some archives unpack.
  std::optional<std::filesystem::path> train, val, test;
  std::vector<std::string> classes;    // folders of classes directly in the root; none beside train
  std::filesystem::path base;          // holds the classes to train on: train, or the root
  std::vector<std::string> looked_at;  // folders that decided this, relative to the root
  std::vector<NotRead> not_read;       // in the root
  std::optional<std::filesystem::path> without_classes;  // no class anywhere: a part without them

  const std::optional<std::filesystem::path>& part(Split split) const {
    return split == Split::kTrain ? train : split == Split::kVal ? val : test;
  }
};

// `also_read`: a folder in the root that another reader reads. Throws filesystem_error.
FolderLayout find_layout(const std::filesystem::path& root,
                         const std::filesystem::path& also_read = {});

// The folders that are called like parts, among their siblings: "train" and "Val" always; "x_train"
// and "train-images" where a sibling with the same other words names another part of the same data.
std::map<std::string, Split> parts_among(const std::vector<std::string>& folders);

}  // namespace nestvit
