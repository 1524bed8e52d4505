// The names of splits, and the seeded split by ranked hashes.
#include "data/split.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/text.h"

namespace nestvit {
namespace {

// A pure function of seed and key. The hash tells keys apart; the generator makes the bits
// independent of the seed's.
uint64_t seeded_hash(uint64_t seed, const std::string& key) {
  Rng rng(seed, Purpose::kSplit, fnv1a(key));
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
  static const std::vector<std::string> train = {"train", "training", "trainval"};
  static const std::vector<std::string> val = {"val",  "valid",      "validation", "validate",
                                               "eval", "evaluation", "dev"};
  static const std::vector<std::string> test = {"test", "testing"};
  return split == Split::kTrain ? train : split == Split::kVal ? val : test;
}

std::optional<Split> find_split_named(const std::string& word) {
  const std::string lower = ascii_lower(word);
  for (Split split : {Split::kTrain, Split::kVal, Split::kTest}) {
    const auto& names = split_names(split);
    if (std::find(names.begin(), names.end(), lower) != names.end()) return split;
  }
  return std::nullopt;
}

Split parse_split(const std::string& word) {
  if (const auto split = find_split_named(word)) return *split;
  throw UsageError(fmt::format("unknown split '{}'", word), "use train, val or test");
}

std::vector<int64_t> seeded_part(const SplitItems& items, const DatasetOptions& options,
                                 Split split) {
  NESTVIT_CHECK(split != Split::kTest);
  if (!(options.val_share >= 0 && options.val_share <= 1))
    throw UsageError(fmt::format("the share of images for validation is {}", options.val_share),
                     "give a number from 0 to 1, for instance 0.2");
  // All of them: keys, which may be read from the images' files, are not needed.
  if (items.size > 0 && options.val_share == (split == Split::kVal ? 1 : 0)) {
    std::vector<int64_t> all(static_cast<size_t>(items.size));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  struct Ranked {
    uint64_t hash;
    int64_t item;
  };
  std::vector<Ranked> ranked;
  ranked.reserve(static_cast<size_t>(items.size));
  for (int64_t i = 0; i < items.size; ++i)
    ranked.push_back({seeded_hash(options.seed, items.key(i)), i});
  // By class; equal hashes (a list that names a file twice) rank by key, then by position.
  std::sort(ranked.begin(), ranked.end(), [&](const Ranked& a, const Ranked& b) {
    if (const int x = items.label(a.item), y = items.label(b.item); x != y) return x < y;
    if (a.hash != b.hash) return a.hash < b.hash;
    if (const int order = items.key(a.item).compare(items.key(b.item))) return order < 0;
    return a.item < b.item;
  });
  std::vector<int64_t> part;
  for (size_t first = 0; first < ranked.size();) {
    size_t last = first;
    while (last < ranked.size() &&
           items.label(ranked[last].item) == items.label(ranked[first].item))
      ++last;
    const size_t border = first + val_count(last - first, options.val_share);
    const size_t begin = split == Split::kVal ? first : border;
    const size_t end = split == Split::kVal ? border : last;
    for (size_t i = begin; i < end; ++i) part.push_back(ranked[i].item);
    first = last;
  }
  std::sort(part.begin(), part.end());
  if (part.empty())
    throw Error(fmt::format("{} holds {} images, and a validation share of {} leaves none to '{}'",
                            options.root.string(), items.size, options.val_share,
                            split_names(split).front()),
                "change the share, or add images");
  return part;
}

}  // namespace nestvit
