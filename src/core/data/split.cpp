// The names of splits, and the seeded split by ranked hashes.
#include "data/split.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "base/random.h"

namespace nestvit {
namespace {

// A pure function of seed and key. FNV-1a tells keys apart; the generator makes the bits
// independent of the seed's.
uint64_t seeded_hash(uint64_t seed, const std::string& key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : key) hash = (hash ^ c) * 0x100000001b3;
  Rng rng(seed, Purpose::kSplit, hash);
  const uint64_t high = rng.next_u32();
  return high << 32 | rng.next_u32();
}

size_t val_count(size_t items, double share) {
  const auto wanted = static_cast<size_t>(std::llround(static_cast<double>(items) * share));
  if (share <= 0 || share >= 1 || items == 0) return wanted;
  return items == 1 ? 0 : std::clamp<size_t>(wanted, 1, items - 1);
}

}  // namespace

const std::vector<std::string>& split_names(Split split) {
  static const std::vector<std::string> train = {"train", "training"};
  static const std::vector<std::string> val = {"val", "valid", "validation", "eval", "evaluation"};
  static const std::vector<std::string> test = {"test", "testing"};
  return split == Split::kTrain ? train : split == Split::kVal ? val : test;
}

std::optional<Split> find_split_named(const std::string& word) {
  for (Split split : {Split::kTrain, Split::kVal, Split::kTest}) {
    const auto& names = split_names(split);
    if (std::find(names.begin(), names.end(), word) != names.end()) return split;
  }
  return std::nullopt;
}

Split parse_split(const std::string& word) {
  if (const auto split = find_split_named(word)) return *split;
  throw UsageError(fmt::format("unknown split '{}'", word), "use train, val or test");
}

std::vector<int64_t> seeded_part(const std::vector<std::string>& keys,
                                 const std::vector<int>& labels, const DatasetOptions& options,
                                 Split split) {
  NESTVIT_CHECK(keys.size() == labels.size() && split != Split::kTest);
  if (!(options.val_share >= 0 && options.val_share <= 1))
    throw UsageError(fmt::format("the share of images for validation is {}", options.val_share),
                     "give a number from 0 to 1, for instance 0.2");
  std::map<int, std::vector<std::pair<uint64_t, int64_t>>> classes;
  for (size_t i = 0; i < keys.size(); ++i)
    classes[labels[i]].emplace_back(seeded_hash(options.seed, keys[i]), static_cast<int64_t>(i));

  std::vector<int64_t> part;
  for (auto& [_, ranked] : classes) {
    // Equal hashes (a list that names a file twice) rank by key, then by position.
    std::sort(ranked.begin(), ranked.end(), [&](const auto& a, const auto& b) {
      if (a.first != b.first) return a.first < b.first;
      if (int order = keys[a.second].compare(keys[b.second])) return order < 0;
      return a.second < b.second;
    });
    const size_t val = val_count(ranked.size(), options.val_share);
    const size_t begin = split == Split::kVal ? 0 : val;
    const size_t end = split == Split::kVal ? val : ranked.size();
    for (size_t i = begin; i < end; ++i) part.push_back(ranked[i].second);
  }
  std::sort(part.begin(), part.end());
  if (part.empty())
    throw Error(fmt::format("{} holds {} images, and a validation share of {} leaves none to '{}'",
                            options.root.string(), keys.size(), options.val_share,
                            split_names(split).front()),
                "change the share, or add images");
  return part;
}

std::unique_ptr<Dataset> seeded_share(std::unique_ptr<Dataset> all,
                                      const std::vector<std::string>& keys,
                                      const DatasetOptions& options, Split split) {
  std::vector<int> labels;
  for (int64_t i = 0; i < all->size(); ++i) labels.push_back(all->label(i));
  auto part = seeded_part(keys, labels, options, split);
  return subset(std::move(all), std::move(part));
}

}  // namespace nestvit
