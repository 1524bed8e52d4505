// The index of a folder of images: its listing after the split, valid while no folder in it
// changed.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/formats/file_dataset.h"
#include "data/index/index.h"

namespace nestvit {

// The folders that were listed, each with the state that it had before.
struct FolderStamps {
  int64_t begun = now_ns();
  std::vector<std::string> folders;  // relative to the root; "" is the root
  std::vector<Stamp> stamps;         // [folders.size()]
  void add(const std::filesystem::path& root, const std::string& folder);
};

// The dataset that the file options.index holds, if it was made with these options and none of its
// folders has changed. Else null, with a line in the log if there was a file.
std::unique_ptr<Dataset> open_folder_index(const DatasetOptions& options);

// For FileDataset: writes an index, unless a folder changed so shortly before it was listed that a
// later change could go unseen.
FileDataset::SaveIndex folder_index_writer(const DatasetOptions& options, FolderStamps stamps);

}  // namespace nestvit
