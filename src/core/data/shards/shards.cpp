// Scans shards in threads, with advice to the system about their pages, and divides their samples.
#include "data/shards/shards.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "data/classes.h"

namespace nestvit {
namespace {

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// Takes unchanged shards from the index.
void take_known(IndexReader& index, const ShardFormat& format, Shards& all) {
  const auto paths = index.texts();
  const auto stamps = index.array<Stamp>();
  index.require(paths.size() == stamps.size(), "shards without their times");
  std::unordered_map<std::string, Shard*> by_path;
  for (Shard& shard : all.shards) by_path.emplace(absolute(shard.path), &shard);
  bool same = paths.size() == all.shards.size();
  for (size_t i = 0; i < paths.size(); ++i) {
    auto samples = index.array<ShardSample>();
    const auto found = by_path.find(paths[i]);
    if (found == by_path.end() || found->second->stamp != stamps[i]) {
      same = false;
      continue;
    }
    Shard& shard = *found->second;
    index.require(!samples.empty() && std::all_of(samples.begin(), samples.end(),
                                                  [&](const ShardSample& sample) {
                                                    return sample.label < kMaxClasses &&
                                                           format.plausible(shard, sample);
                                                  }),
                  "samples that lie in no shard");
    same = same && &shard == &all.shards[i];
    shard.samples = std::move(samples);
  }
  std::string part_key = index.text();
  auto part = index.array<int64_t>();
  index.end();
  if (!same) return;
  int64_t size = 0;
  for (const Shard& shard : all.shards) size += std::ssize(shard.samples);
  index.require(std::is_sorted(part.begin(), part.end()) &&
                    (part.empty() || (part.front() >= 0 && part.back() < size)),
                "a part of other samples");
  all.part_key = std::move(part_key);
  all.part = std::move(part);
  all.indexed = true;
}

void read_index(const DatasetOptions& options, const ShardFormat& format, Shards& all) {
  if (options.index.empty()) return;
  try {
    if (auto index = IndexReader::open(options.index, format.name))
      take_known(*index, format, all);
    else
      return;
    const auto changed = std::count_if(all.shards.begin(), all.shards.end(),
                                       [](const Shard& shard) { return shard.samples.empty(); });
    if (changed > 0)
      log_info(
          fmt::format("{} of {} shards are new or have changed since {} was written: their samples "
                      "are listed anew",
                      changed, all.shards.size(), options.index.string()));
  } catch (const Error& error) {
    log_warning(fmt::format("{}: the samples of all shards are listed anew", error.what()));
    for (Shard& shard : all.shards) shard.samples.clear();
  }
}

}  // namespace

Shards open_shards(const std::vector<std::filesystem::path>& paths, const DatasetOptions& options,
                   const ShardFormat& format) {
  Shards all;
  all.format = format.name;
  all.begun = now_ns();
  all.shards.resize(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    Shard& shard = all.shards[i];
    shard.path = paths[i].string();
    shard.stamp = stamp_of(paths[i]).value_or(Stamp());
    shard.file = MappedFile::open(paths[i]);
  }
  read_index(options, format, all);
  each_shard(paths.size(), [&](size_t i) {
    Shard& shard = all.shards[i];
    if (!shard.samples.empty()) return;
    in_jumps(shard.file->bytes(), [&] { format.scan(shard); });
    shard.samples.shrink_to_fit();
  });
  int64_t first = 0;
  for (Shard& shard : all.shards) {
    shard.first = first;
    first += std::ssize(shard.samples);
  }
  return all;
}

ShardedDataset::ShardedDataset(Shards shards, std::vector<std::string> classes)
    : all_(std::move(shards)), classes_(std::move(classes)) {
  samples_ = all_.shards.back().first + std::ssize(all_.shards.back().samples);
}

ShardedDataset::Place ShardedDataset::place(int64_t index) const {
  if (index < 0 || index >= size()) throw std::out_of_range("sample " + std::to_string(index));
  const int64_t wanted = all_.part.empty() ? index : all_.part[index];
  const Shard& shard =
      *std::prev(std::upper_bound(all_.shards.begin(), all_.shards.end(), wanted,
                                  [](int64_t i, const Shard& other) { return i < other.first; }));
  const int64_t number = wanted - shard.first;
  return {shard, shard.samples.at(number), number};
}

std::string ShardedDataset::key(int64_t index) const {
  const Place found = place(index);
  return fmt::format("{}#{}", std::filesystem::path(found.shard.path).filename().string(),
                     found.number);
}

std::vector<int64_t> ShardedDataset::shard_starts() const {
  std::vector<int64_t> starts;
  for (const Shard& shard : all_.shards) {
    const auto& part = all_.part;
    const int64_t start =
        part.empty() ? shard.first
                     : std::lower_bound(part.begin(), part.end(), shard.first) - part.begin();
    if (start < size() && (starts.empty() || starts.back() < start)) starts.push_back(start);
  }
  return starts;
}

void ShardedDataset::divide(const DatasetOptions& options, Split split) {
  divided_ = options.val_share > 0;
  const std::string key = fmt::format("split {} share {} seed {}", split_names(split).front(),
                                      options.val_share, options.seed);
  if (all_.indexed && all_.part_key == key) return;
  all_.part.clear();
  const SplitItems items{samples_, [this](int64_t i) { return split_key(i); },
                         [this](int64_t i) { return label(i); }};
  all_.part = seeded_part(items, options, split);
  all_.part_key = key;
  all_.indexed = false;
}

void ShardedDataset::save_index(const std::filesystem::path& file) const {
  if (all_.indexed) return;
  std::vector<const Shard*> kept;  // those whose later changes will show
  for (const Shard& shard : all_.shards)
    if (!shard.samples.empty() && settled(shard.stamp, all_.begun)) kept.push_back(&shard);
  std::vector<std::string> paths;
  std::vector<Stamp> stamps;
  for (const Shard* shard : kept) {
    paths.push_back(absolute(shard->path));
    stamps.push_back(shard->stamp);
  }
  IndexWriter index(file, all_.format);
  index.texts(paths);
  index.array(std::span(stamps));
  for (const Shard* shard : kept) index.array(std::span(shard->samples));
  index.text(all_.part_key);
  index.array(std::span(all_.part));
  index.commit();
}

void each_shard(size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::exception_ptr> failures(count);
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  const auto loop = [&] {
    for (size_t i; (i = next++) < count && !failed;) try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
        failed = true;
      }
  };
  constexpr size_t kThreads = 16;
  {
    std::vector<std::jthread> threads;
    for (size_t t = 1; t < std::min(kThreads, count); ++t) threads.emplace_back(loop);
    loop();
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void in_jumps(std::span<const std::byte> file, const std::function<void()>& pass) {
  const auto advise = [&](int advice) {
    if (!file.empty()) ::madvise(const_cast<std::byte*>(file.data()), file.size(), advice);
  };
  advise(MADV_RANDOM);
  pass();
  advise(MADV_NORMAL);
  advise(MADV_DONTNEED);  // what was in memory anyway does not stay mapped
}

}  // namespace nestvit
