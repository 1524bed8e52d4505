// The headers of a shard of WebDataset: which members make a sample, and its label.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/shards/shards.h"

namespace nestvit {

using ClassIndex = std::map<std::string, int32_t>;

// Counts members that are not read, by extension.
class UnreadMembers {
 public:
  void add(const std::string& extension, int64_t count = 1);
  // May be called from several threads.
  void add(const UnreadMembers& other);
  std::vector<NotRead> sentences(const std::filesystem::path& root) const;

 private:
  std::map<std::string, int64_t> counts_;
  std::mutex mutex_;
};

// Adds the samples of a shard, the members of one key: all of their names up to the first dot after
// the folders. The image is KEY.jpg, else KEY.jpeg, KEY.png, KEY.webp, in any case, and never
// KEY.depth.png. The label is KEY.cls, else what KEY.json says, else KEY.txt, where that is a whole
// number or a name in `by_name`. Throws Error naming shard and sample.
void scan_webdataset(Shard& shard, const ClassIndex& by_name, UnreadMembers& unread);

}  // namespace nestvit
