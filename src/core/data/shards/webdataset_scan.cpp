// Collects the members of a key, and makes a sample of them when the next key begins.
#include "data/shards/webdataset_scan.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/classes.h"
#include "data/formats/image_files.h"
#include "data/names.h"
#include "data/shards/tar.h"

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

// Of a sample's images the first of these is read; "depth.png" is none of them.
constexpr std::array kImages = {"jpg", "jpeg", "png", "webp"};
// The labels in a .json, best first.
constexpr std::array kLabelKeys = {"label", "cls", "class", "target", "class_id", "label_id"};

// Where the extension stands in kImages; beyond it for other images; nothing for other members.
std::optional<size_t> image_rank(const std::string& extension) {
  if (extension.find('.') != std::string::npos || !has_image_extension("x." + extension))
    return std::nullopt;
  return std::find(kImages.begin(), kImages.end(), extension) - kImages.begin();
}

// The members of one name, while a shard is read.
class Scan {
 public:
  // `by_name`: the indices of classes that labels may name.
  Scan(Shard& shard, const ClassIndex& by_name)
      : shard_(shard), bytes_(shard.file->bytes()), by_name_(by_name) {}

  void member(const TarMember& m) {
    auto [key, extension] = split_name(m.name);
    extension = ascii_lower(extension);
    if (extension.empty() || fs::path(m.name).filename().string().starts_with(".")) return;
    if (key != key_) finish();
    key_ = key;
    if (const auto rank = image_rank(extension); rank && (!image_ || *rank < image_rank_)) {
      if (image_) unread.add(image_extension_);
      image_ = m;
      image_rank_ = *rank;
      image_extension_ = extension;
    } else if (extension == "cls" && !cls_) {
      cls_ = m;
    } else if (extension == "json" && !json_) {
      json_ = m;
    } else if (extension == "txt" && !txt_) {
      txt_ = m;
    } else {
      unread.add(extension);
      if (others_.size() < 100) others_ += " " + extension;
    }
  }

  void finish() {
    const auto label = find_label();
    if (image_ || label) {
      if (!image_)
        fail(fmt::format("has no image ({}){}", kImageExtensions,
                         others_.empty() ? "" : "; it has" + printable(others_)));
      if (!label) fail(no_label());
      if (image_->size > kMaxEncoded || image_->size == 0)
        fail(fmt::format("has an image of {} bytes", image_->size));
      shard_.samples.push_back({image_->offset, static_cast<uint32_t>(image_->size), *label});
    }
    image_.reset();
    cls_.reset();
    json_.reset();
    txt_.reset();
    others_.clear();
  }

  UnreadMembers unread;

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(
        fmt::format("{}: the sample \"{}\" {}", shard_.path, key_.substr(0, 200), what),
        fmt::format("a sample is KEY.jpg (or png, webp) and KEY.cls, next to each other; KEY ends "
                    "at the first dot; an archive of a folder of images must be unpacked: {}",
                    unpack_command(shard_.path, "DIR")));
  }

  std::string no_label() const {
    return fmt::format("has no label: no .cls, no .json with a \"{}\"{}", kLabelKeys.front(),
                       txt_ ? ", and its .txt is no number" : "");
  }

  // The best of .cls, .json and .txt.
  std::optional<int32_t> find_label() {
    std::optional<int32_t> label;
    if (cls_) label = checked(text(*cls_));
    if (!label && json_)
      label = label_in_json();
    else if (json_)
      unread.add("json");
    if (!label && image_ && txt_)
      label = number(text(*txt_));
    else if (txt_)
      unread.add("txt");
    return label;
  }

  std::string text(const TarMember& m) const {
    if (m.size > kLargestLabel) fail(fmt::format("has a label of {} bytes", m.size));
    const auto bytes = bytes_.subspan(m.offset, m.size);
    return std::string(trimmed({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  }

  // The class that a text names or numbers.
  std::optional<int32_t> number(const std::string& word) const {
    if (const auto named = by_name_.find(word); named != by_name_.end()) return named->second;
    int32_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 0 ||
        value >= kMaxClasses)
      return std::nullopt;
    return value;
  }

  int32_t checked(const std::string& word) const {
    const auto label = number(word);
    if (!label)
      fail(fmt::format("has the label \"{}\", expected a whole number from 0{}",
                       printable(word.substr(0, 40)),
                       by_name_.empty() ? ", or with --class-map FILE a name in it"
                                        : " or a name of the class map"));
    return *label;
  }

  std::optional<int32_t> label_in_json() const {
    nlohmann::json json;
    try {
      json = parse_json(text(*json_));
    } catch (const Error& error) {
      fail(fmt::format("has a .json that cannot be read: {}", error.what()));
    }
    if (json.is_number()) return checked(json.dump());
    if (!json.is_object()) return std::nullopt;
    std::optional<std::string> name;  // which is no number, and known to no class map
    for (const char* key : kLabelKeys) {
      const auto value = json.find(key);
      if (value == json.end() || value->is_null()) continue;
      const std::string word = value->is_string() ? value->get<std::string>() : value->dump();
      if (!value->is_string() || number(word)) return checked(word);
      if (!name) name = word;
    }
    return name ? std::optional(checked(*name)) : std::nullopt;
  }

  Shard& shard_;
  const std::span<const std::byte> bytes_;
  const ClassIndex& by_name_;
  std::string key_;
  std::optional<TarMember> image_, cls_, json_, txt_;
  size_t image_rank_ = 0;
  std::string image_extension_;
  std::string others_;  // for the message: some extensions of members that are not read
};

}  // namespace

void UnreadMembers::add(const std::string& extension, int64_t count) {
  constexpr size_t kMost = 100;
  const bool room = counts_.size() < kMost || counts_.contains(extension);
  counts_[room ? extension : "others"] += count;
}

void UnreadMembers::add(const UnreadMembers& other) {
  const std::lock_guard lock(mutex_);
  for (const auto& [extension, count] : other.counts_) add(extension, count);
}

std::vector<NotRead> UnreadMembers::sentences(const fs::path& root) const {
  constexpr size_t kShown = 8;
  if (counts_.empty()) return {};
  std::string text;
  size_t shown = 0;
  bool images = false;
  for (const auto& [extension, count] : counts_) {
    images = images || has_image_extension("x." + extension);
    if (shown++ < kShown)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", human_count(count),
                          printable(extension.substr(0, 40)));
  }
  if (shown > kShown) text += fmt::format(" and {} other extensions", shown - kShown);
  return {{fmt::format("{}: members that are not read: {}", root.string(), text), !images}};
}

void scan_webdataset(Shard& shard, const ClassIndex& by_name, UnreadMembers& unread) {
  Scan samples(shard, by_name);
  read_tar(shard.file->bytes(), shard.path, [&](const TarMember& m) { samples.member(m); });
  samples.finish();
  unread.add(samples.unread);
}

}  // namespace nestvit
