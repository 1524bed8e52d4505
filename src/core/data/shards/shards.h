// The common part of datasets that lie in a few large files, "shards", each of which is mapped.
// Opening one reads its headers; an index (data/index/index.h) spares that for unchanged shards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/dataset.h"
#include "data/index/index.h"
#include "data/split.h"

namespace nestvit {

struct ShardSample {
  uint64_t offset = 0;  // in the shard
  uint32_t size = 0;    // of the image, where the format says it at once; else 0
  int32_t label = -1;   // -1: cannot be read
};

struct Shard {
  std::string path;
  std::shared_ptr<const MappedFile> file;
  std::vector<ShardSample> samples;
  int64_t first = 0;  // index of its first sample
  Stamp stamp;        // from before it was scanned
};

// The reader of one format of shards.
struct ShardFormat {
  std::string name;
  std::function<void(Shard&)> scan;  // fills in samples; called from several threads
  // Whether get() and name() can work with a sample from an index.
  std::function<bool(const Shard&, const ShardSample&)> plausible;
};

// The shards of a split, open.
struct Shards {
  std::vector<Shard> shards;
  std::string format;
  std::string part_key;       // the settings that `part` was chosen by
  std::vector<int64_t> part;  // of the samples; all where it is empty
  int64_t begun = 0;          // of opening
  bool indexed = false;       // all of it comes from an index
};
Shards open_shards(const std::vector<std::filesystem::path>& paths, const DatasetOptions& options,
                   const ShardFormat& format);

class ShardedDataset : public Dataset {
 public:
  ShardedDataset(Shards shards, std::vector<std::string> classes);
  int64_t size() const override {
    return all_.part.empty() ? samples_ : static_cast<int64_t>(all_.part.size());
  }
  int label(int64_t index) const override { return place(index).sample.label; }
  const std::vector<std::string>& classes() const override { return classes_; }
  // The shard's own name and the place in it: cheap, where name() may read the sample.
  std::string key(int64_t index) const override;
  bool is_share() const override { return divided_; }
  std::vector<int64_t> shard_starts() const override;
  void save_index(const std::filesystem::path& file) const override;
  // Keeps only the share of `split`, which may come from the index.
  void divide(const DatasetOptions& options, Split split);

 protected:
  struct Place {
    const Shard& shard;
    const ShardSample& sample;
    int64_t number;  // in the shard
  };
  Place place(int64_t index) const;  // throws std::out_of_range
  // The key by which divide() tells samples apart; `index` counts before the division.
  virtual std::string split_key(int64_t index) const = 0;

 private:
  Shards all_;
  std::vector<std::string> classes_;
  int64_t samples_ = 0;
  bool divided_ = false;
};

// work(i) for each i below `count`, in several threads: they wait for the disk more than they
// compute. Rethrows the first failure (of the lowest i) after all have ended; none begins after
// one.
void each_shard(size_t count, const std::function<void(size_t)>& work);

// Runs a pass over a mapped file that jumps from header to header: without reading ahead, and
// without keeping the touched pages in memory.
void in_jumps(std::span<const std::byte> file, const std::function<void()>& pass);

}  // namespace nestvit
