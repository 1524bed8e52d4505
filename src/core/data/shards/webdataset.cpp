// Shards, mapped; an index of their images with labels; images on demand.
#include "data/shards/webdataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/shards/shards.h"
#include "data/shards/tar.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxEncoded = 512ull << 20;  // as for image files
constexpr uint64_t kLargestLabel = 64 << 10;    // a .cls or .json file

// "a/b/00042.seg.png" -> "a/b/00042" and "seg.png": up to the first dot after the folders.
std::pair<std::string, std::string> split_name(const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t dot = name.find('.', slash == std::string::npos ? 0 : slash + 1);
  if (dot == std::string::npos) return {name, ""};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// The members of one name, while a shard is read.
class Scan {
 public:
  explicit Scan(Shard& shard) : shard_(shard), bytes_(shard.file->bytes()) {}

  void member(const TarMember& m) {
    const auto [key, extension] = split_name(m.name);
    if (extension.empty() || fs::path(m.name).filename().string().starts_with(".")) return;
    if (key != key_) finish();
    key_ = key;
    if (has_image_extension("x." + extension) && !image_) image_ = m;
    if (extension == "cls") label_ = number(m);
    if (extension == "json" && !label_) label_ = label_in(m);
  }

  void finish() {
    if (!image_ && !label_) return;
    if (!image_) fail(fmt::format("has no image ({})", kImageExtensions));
    if (!label_) fail("has no label: no .cls, and no .json with a \"label\"");
    if (image_->size > kMaxEncoded || image_->size == 0)
      fail(fmt::format("has an image of {} bytes", image_->size));
    shard_.samples.push_back({image_->offset, static_cast<uint32_t>(image_->size), *label_});
    image_.reset();
    label_.reset();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: the sample \"{}\" {}", shard_.path, key_.substr(0, 200), what),
                "a sample is KEY.jpg (or png, webp) and KEY.cls, next to each other");
  }

  std::string text(const TarMember& m) const {
    if (m.size > kLargestLabel) fail(fmt::format("has a label of {} bytes", m.size));
    const auto bytes = bytes_.subspan(m.offset, m.size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  int32_t number(const TarMember& m) const {
    std::string word = text(m);
    while (!word.empty() && std::isspace(static_cast<unsigned char>(word.back()))) word.pop_back();
    int32_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) value = -1;
    return checked(value, word);
  }

  std::optional<int32_t> label_in(const TarMember& m) const {
    const auto json = parse_json(text(m));
    const auto label = json.is_object() ? json.find("label") : json.end();
    if (!json.is_object() || label == json.end()) return std::nullopt;
    const bool fits = label->is_number_integer() && *label >= 0 && *label < kMaxClasses;
    return checked(fits ? label->get<int32_t>() : -1, label->dump());
  }

  int32_t checked(int32_t value, const std::string& got) const {
    if (value < 0 || value >= kMaxClasses)
      fail(fmt::format("has the label \"{}\", expected a whole number from 0", got.substr(0, 40)));
    return value;
  }

  Shard& shard_;
  const std::span<const std::byte> bytes_;
  std::string key_;
  std::optional<TarMember> image_;
  std::optional<int32_t> label_;
};

void scan(Shard& shard) {
  Scan samples(shard);
  read_tar(shard.file->bytes(), shard.path, [&](const TarMember& m) { samples.member(m); });
  samples.finish();
}

bool plausible(const Shard& shard, const ShardSample& image) {
  const uint64_t size = shard.file->bytes().size();
  return image.label >= 0 && image.offset >= kTarBlock && image.offset <= size && image.size > 0 &&
         image.size <= size - image.offset;
}

class WebDataset : public ShardedDataset {
 public:
  using ShardedDataset::ShardedDataset;
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
    return paths && !paths->empty() ? std::move(*paths) : named(wanted);
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
  return fs::is_directory(root, ignored) && !shards_at(root).empty();
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
  Shards shards = open_shards(found.paths, options, {"webdataset", scan, plausible});
  int highest = -1;
  for (const Shard& shard : shards.shards)
    for (const ShardSample& image : shard.samples) highest = std::max(highest, image.label);
  if (highest < 0)
    throw Error(fmt::format("{}: no samples in its {} shards", options.root.string(),
                            shards.shards.size()));
  auto classes = class_names(options, highest + 1, numbered_classes(highest + 1));
  require_two_classes(classes, options.root.string(), "every label is 0");
  auto all = std::make_unique<WebDataset>(std::move(shards), std::move(classes));
  if (found.undivided) all->divide(options, split);
  return all;
}

}  // namespace nestvit
