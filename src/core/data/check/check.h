// Checks a whole dataset before a long run: reads and decodes every image once, and lists those
// that are broken, doubled or odd.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

enum class FindingKind {
  kRefused,    // training would not start with this data
  kBroken,     // cannot be read or decoded: training would stop there
  kOddFormat,  // a format that the decoder refuses (GIF, TIFF, animated WebP) under an image's name
  kIgnored,    // a file that is not read for its extension or place, and may be a picture
  kStructure,  // folders that are not read, or that may be meant otherwise than they are read
  kLeak,       // the same picture in two parts (train and val)
  kTwoClasses,  // the same picture under two classes
  kDuplicate,   // the same picture twice in one class of one part
  kExtension,   // another format than the extension says; it is read all the same
  kTiny,
  kAspect,
  kEmptyClass,
  kUnbalanced,
};
inline constexpr int kFindingKinds = static_cast<int>(FindingKind::kUnbalanced) + 1;

const char* finding_name(FindingKind kind);   // "broken", "two-classes": for files
const char* finding_title(FindingKind kind);  // for people
// Refused data, and broken images and odd formats unless the run skips bad images.
bool stops_training(FindingKind kind);

struct Finding {
  FindingKind kind = FindingKind::kBroken;
  std::string part;        // "train", "val", "test"; "" when the data is in one part
  std::string class_name;  // "" where no class is meant
  std::string file;        // "" for findings about a class
  std::string detail;
};

struct CheckOptions {
  DatasetOptions data;    // `split` is not looked at: train, val and (folders) test are all read
  int threads = 0;        // 0: one per processor
  int min_side = 16;      // smaller: kTiny
  double max_aspect = 8;  // longer side over shorter; larger: kAspect
  double imbalance = 10;  // a class this many times smaller or larger than the median: kUnbalanced
  // Called from one thread now and then, and with done == total at the end.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct CheckedPart {
  std::string name;
  int64_t images = 0;
};

struct CheckResult {
  std::string kind;  // of the dataset
  std::vector<CheckedPart> parts;
  bool undivided = false;  // train and val are a seeded split of one folder
  int64_t images = 0, decoded = 0, bytes = 0;
  int classes = 0;
  std::map<std::string, int64_t> formats;                    // of what was decoded
  int smallest_side = 0, median_side = 0, largest_side = 0;  // shorter side; 0: nothing decoded
  std::vector<std::string> not_read;                         // readmes and the like: sentences
  double seconds = 0;
  std::vector<Finding> findings;  // by kind, then in the order of the data

  int64_t count(FindingKind wanted) const;
  bool stops_training() const;
};

// Throws Error when there is no dataset at all; everything else becomes a finding. Memory: about 60
// bytes per image, beside one decoded image per thread (those above 16 megapixels one at a time).
CheckResult check_dataset(const CheckOptions& options);

}  // namespace nestvit
