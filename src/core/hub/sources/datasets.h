// Datasets by name: where their files lie, and what they become.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hub/archive.h"
#include "hub/download.h"

namespace nestvit {

struct DatasetFile {
  std::string name;       // below a source's address
  std::string md5;        // as torchvision publishes it
  uint64_t size = 0;      // 0: not known
  std::string unpacks;    // a .gz: the file in it; a .tar.gz: ""
  uint64_t unpacked = 0;  // its size
};

struct DatasetSource {
  std::string name;
  std::vector<std::string> addresses;  // tried in order; end in '/'
  std::vector<DatasetFile> files;
  std::vector<std::string> holds;  // names that the complete folder has
  ArchiveLimits limits;            // of a .tar.gz
};

const std::vector<DatasetSource>& dataset_sources();

// Fills `folder`, which must be new, empty or complete already.
void fetch_dataset(const DatasetSource& source, const std::filesystem::path& folder,
                   const Transport& transport);

}  // namespace nestvit
