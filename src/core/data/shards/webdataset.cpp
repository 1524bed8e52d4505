// Which shards hold a split; images on demand.
#include "data/shards/webdataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/formats/folder.h"
#include "data/shards/shards.h"
#include "data/shards/tar.h"
#include "data/shards/webdataset_scan.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// What a class map calls the classes, for labels that are names.
ClassIndex class_index(const DatasetOptions& options) {
  ClassIndex index;
  if (options.class_map.empty()) return index;
  const ClassMap map = read_class_map(options.class_map);
  for (const auto* names : {&map.keys, &map.names})
    for (size_t i = 0; i < names->size(); ++i) index.emplace((*names)[i], static_cast<int32_t>(i));
  return index;
}

// An index holds labels, which depend on the names.
std::string index_key(const ClassIndex& by_name) {
  std::string text;
  for (const auto& [name, index] : by_name) text += fmt::format("{} {}\n", index, name);
  return "webdataset 2" + (text.empty() ? "" : fmt::format(", classes {:x}", fnv1a(text)));
}

bool plausible(const Shard& shard, const ShardSample& image) {
  const uint64_t size = shard.file->bytes().size();
  return image.label >= 0 && image.offset >= kTarBlock && image.offset <= size && image.size > 0 &&
         image.size <= size - image.offset;
}

class WebDataset : public ShardedDataset {
 public:
  WebDataset(Shards shards, std::vector<std::string> classes, std::vector<NotRead> not_read)
      : ShardedDataset(std::move(shards), std::move(classes)), not_read_(std::move(not_read)) {}
  std::vector<NotRead> not_read() const override { return not_read_; }
  Sample get(int64_t index) const override {
    const auto& [shard, image, number] = place(index);
    const auto bytes = shard.file->bytes().subspan(image.offset, image.size);
    Sample sample;
    sample.encoded.assign(bytes.begin(), bytes.end());
    sample.label = image.label;
    sample.name = name(index);
    return sample;
  }
  std::string name(int64_t index) const override {
    const auto& [shard, image, number] = place(index);
    return shard.path + "#" + tar_name_before(shard.file->bytes(), image.offset);
  }
  std::string kind() const override { return "webdataset"; }

 private:
  std::string split_key(int64_t index) const override {
    return fs::path(name(index)).filename().string();
  }
  std::vector<NotRead> not_read_;
};

// ---- which shards ----

bool is_tar(const fs::path& path) { return path.extension() == ".tar"; }

std::vector<fs::path> shards_at(const fs::path& root) {
  std::vector<fs::path> paths;
  std::error_code ignored;
  if (fs::is_directory(root, ignored)) {
    for (const auto& entry : fs::directory_iterator(root))
      if (is_tar(entry.path())) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end(), [](const fs::path& a, const fs::path& b) {
      return natural_less(a.string(), b.string());
    });
    return paths;
  }
  for (const std::string& name : expand_braces(root.filename().string()))
    paths.push_back(root.parent_path() / name);
  return paths;
}

// The part whose name stands in a shard's, between other characters: "imagenet-train-0001.tar".
std::optional<Split> split_of(const fs::path& shard) {
  std::string word;
  std::optional<Split> found;
  for (const char c : shard.filename().string() + ".") {
    if (std::isalpha(static_cast<unsigned char>(c))) {
      word += ascii_lower(c);
      continue;
    }
    if (const auto split = find_split_named(word); split && !found) found = split;
    word.clear();
  }
  return found;
}

// timm's {"splits": {"train": {"filenames": ["x-0000.tar", ...]}}}; nothing where there is none.
std::optional<std::vector<fs::path>> described(const fs::path& root, Split split) {
  constexpr uint64_t kLargestInfo = 64 << 20;
  for (const char* file : {"_info.json", "info.json"}) {
    std::error_code ignored;
    if (!fs::is_regular_file(root / file, ignored)) continue;
    const auto info = parse_json(read_text(root / file, kLargestInfo));
    const auto splits = info.is_object() ? info.find("splits") : info.end();
    if (!info.is_object() || splits == info.end() || !splits->is_object()) continue;
    for (const std::string& name : split_names(split)) {
      const auto part = splits->find(name);
      if (part == splits->end() || !part->is_object() || !part->contains("filenames")) continue;
      std::vector<fs::path> paths;
      for (const auto& entry : part->at("filenames")) {
        if (!entry.is_string() || entry.get<std::string>().find('/') != std::string::npos)
          throw Error(fmt::format(
              "{}: \"filenames\" of the split \"{}\" has {}, expected the names of shards",
              (root / file).string(), name, entry.dump().substr(0, 60)));
        paths.push_back(root / entry.get<std::string>());
      }
      return paths;
    }
  }
  return std::nullopt;
}

struct Found {
  std::vector<fs::path> paths;
  bool undivided = false;  // the split is a share of them
};

// The shards in ROOT/train, ROOT/val, ...
std::vector<fs::path> shards_in_folder(const fs::path& root, Split split) {
  std::vector<fs::path> paths;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root, ignored)) {
    if (find_split_named(ascii_lower(entry.path().filename().string())) != split ||
        !entry.is_directory(ignored))
      continue;
    for (auto& path : shards_at(entry.path())) paths.push_back(std::move(path));
  }
  return paths;
}

// Without shards for validation those for training are divided.
Found find_shards_of(const fs::path& root, Split split) {
  const std::vector<fs::path> all = shards_at(root);
  const auto named = [&](std::optional<Split> wanted) {
    std::vector<fs::path> paths;
    std::copy_if(all.begin(), all.end(), std::back_inserter(paths),
                 [&](const fs::path& path) { return split_of(path) == wanted; });
    return paths;
  };
  const auto part = [&](Split wanted) {
    auto paths = described(root, wanted);
    if (!paths || paths->empty()) paths = named(wanted);
    return paths->empty() ? shards_in_folder(root, wanted) : std::move(*paths);
  };
  std::vector<fs::path> test = part(Split::kTest), val = part(Split::kVal);
  if (split == Split::kTest) return {std::move(test)};
  if (val.empty()) val = std::move(test);
  if (split == Split::kVal && !val.empty()) return {std::move(val)};
  std::vector<fs::path> train = part(Split::kTrain);
  if (train.empty()) train = named(std::nullopt);
  return {std::move(train), val.empty()};
}

}  // namespace

bool looks_like_webdataset(const fs::path& root) {
  std::error_code ignored;
  if (!fs::is_directory(root, ignored)) return false;
  if (!looks_like_image_folder(root)) return !shards_at(root).empty();
  for (const Split split : {Split::kTrain, Split::kVal, Split::kTest})
    for (const fs::path& shard : shards_in_folder(root, split))
      if (!looks_like_image_folder(shard.parent_path())) return true;
  return false;
}

bool names_shards(const fs::path& root) {
  std::error_code ignored;
  return is_tar(root) && !fs::is_directory(root, ignored);
}

std::unique_ptr<Dataset> open_webdataset(const DatasetOptions& options) {
  const Split split = parse_split(options.split);
  const Found found = find_shards_of(options.root, split);
  if (found.paths.empty())
    throw Error(fmt::format("{}: no shards of the split '{}'", options.root.string(),
                            split_names(split).front()),
                "shards are .tar files whose names hold the split, as data-train-0000.tar, or that "
                "_info.json lists");
  const ClassIndex by_name = class_index(options);
  UnreadMembers unread;
  const auto scan = [&](Shard& shard) { scan_webdataset(shard, by_name, unread); };
  Shards shards = open_shards(found.paths, options, {index_key(by_name), scan, plausible});
  int highest = -1;
  for (const Shard& shard : shards.shards)
    for (const ShardSample& image : shard.samples) highest = std::max(highest, image.label);
  const auto not_read = unread.sentences(options.root);
  if (highest < 0)
    throw Error(
        fmt::format("{}: no samples in its {} shards", options.root.string(), shards.shards.size()),
        not_read.empty() ? "" : not_read.front().text);
  auto classes = class_names(options, highest + 1, numbered_classes(highest + 1));
  require_two_classes(classes, options.root.string(), "every label is 0");
  auto all = std::make_unique<WebDataset>(std::move(shards), std::move(classes), not_read);
  if (found.undivided) all->divide(options, split);
  return all;
}

}  // namespace nestvit
