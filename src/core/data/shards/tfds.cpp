// A TFDS split as a dataset: memory-mapped shards, an index of records with their labels, and
// images on demand.
#include "data/shards/tfds.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/file.h"
#include "base/system/environment.h"
#include "base/unicode.h"
#include "data/classes.h"
#include "data/shards/shards.h"
#include "data/shards/tfds_tree.h"
#include "data/shards/tfrecord.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr int kDamaged = -1;  // the label of a record that cannot be read

Error wrong(const RecordPlace& place, const std::string& what, const std::string& hint) {
  return Error(fmt::format("{}: the record at byte {} {}", place.file, place.offset, what), hint);
}

int label_of(const Example& example, const RecordPlace& place, int64_t classes) {
  const auto values = example.integers("label");
  if (values.size() != 1)
    throw wrong(place, fmt::format("has {} labels, expected one", values.size()),
                "nestvit reads classification into exclusive classes");
  if (values[0] == -1)
    throw wrong(place, "has the label -1: the split has no labels", "use --split val");
  if (values[0] < 0 || values[0] >= classes)
    throw wrong(place, fmt::format("has label {}, expected 0 to {}", values[0], classes - 1),
                "label.labels.txt must name every class");
  return static_cast<int>(values[0]);
}

// The label, read without touching the image: protobuf says how long it is, and the pages that are
// read hold the record's frame anyway. Its CRC would need the image: it is looked at only when
// something is wrong, to tell a damaged record (kDamaged) from one that says so (Error).
int scan_label(std::span<const std::byte> payload, const RecordPlace& place, int64_t classes) {
  try {
    const Example example(payload, place);
    if (!example.has("image")) example.bytes("image");  // throws: it lists what there is
    return label_of(example, place, classes);
  } catch (const Error&) {
    if (payload_intact(payload)) throw;
    return kDamaged;
  }
}

void scan(Shard& shard, int64_t classes) {
  const auto bytes = shard.file->bytes();
  for (uint64_t at = 0; at < bytes.size();) {
    const RecordPlace place{shard.path, at};
    const auto payload = record_at(bytes, place);
    shard.samples.push_back({at, 0, scan_label(payload, place, classes)});
    at += kRecordFrame + payload.size();
  }
}

Shards scan_shards(const TfdsShards& found, const DatasetOptions& options, int64_t classes) {
  const auto plausible = [classes](const Shard& shard, const ShardSample& sample) {
    return sample.offset < shard.file->bytes().size() && sample.label >= kDamaged &&
           sample.label < classes;
  };
  Shards all = open_shards(found.paths, options,
                           {"tfds", [classes](Shard& shard) { scan(shard, classes); }, plausible});
  for (size_t i = 0; i < all.shards.size(); ++i) {
    const int64_t records = std::ssize(all.shards[i].samples);
    if (!found.lengths.empty() && records != found.lengths[i])
      throw Error(fmt::format("{}: {} records, dataset_info.json says {}", all.shards[i].path,
                              records, found.lengths[i]),
                  "an incomplete copy? Copy the file again");
  }
  return all;
}

// Whether a terminal prints all of the text and obeys none of it: file names come from the record.
bool is_printable(std::string_view text) {
  return !text.empty() && text.size() <= 512 && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 32 || c == 127;
  });
}

class TfdsDataset : public ShardedDataset {
 public:
  TfdsDataset(std::string kind, Shards shards, std::vector<std::string> classes,
              std::vector<NotRead> not_read)
      : ShardedDataset(std::move(shards), std::move(classes)),
        kind_(std::move(kind)),
        not_read_(std::move(not_read)) {}
  Sample get(int64_t index) const override;
  std::string name(int64_t index) const override;
  std::string kind() const override { return kind_; }
  std::vector<NotRead> not_read() const override { return not_read_; }

 private:
  std::string split_key(int64_t index) const override { return name(index); }
  std::string kind_;
  std::vector<NotRead> not_read_;
};

Sample TfdsDataset::get(int64_t index) const {
  constexpr uint64_t kMaxEncoded = 512ull << 20;  // as for image files
  const auto& [shard, record, number] = this->place(index);
  const RecordPlace place{shard.path, record.offset};
  const auto payload = record_at(shard.file->bytes(), place);
  check_payload(payload, place);
  const Example example(payload, place);
  const auto images = example.bytes("image");
  if (images.size() != 1 || images[0].empty() || images[0].size() > kMaxEncoded)
    throw wrong(place,
                fmt::format("has {} images of {} bytes, expected one", images.size(),
                            images.empty() ? 0 : images[0].size()),
                "nestvit reads datasets with one image per record");
  Sample sample;
  sample.encoded.assign(images[0].begin(), images[0].end());
  sample.label = label_of(example, place, std::ssize(classes()));
  sample.name = name(index);
  return sample;
}

std::string TfdsDataset::name(int64_t index) const {
  const auto& [shard, record, number] = this->place(index);
  const RecordPlace place{shard.path, record.offset};
  try {
    const Example example(record_at(shard.file->bytes(), place), place);
    for (const char* key : {"file_name", "id"}) {
      if (!example.has(key)) continue;
      const auto values = example.bytes(key);
      const std::string text =
          values.size() == 1
              ? std::string(reinterpret_cast<const char*>(values[0].data()), values[0].size())
              : "";
      if (is_printable(text)) return text;
    }
  } catch (const Error&) {  // get() says what is wrong with it
  }
  return fmt::format("{}#{}", fs::path(shard.path).filename().string(), number);
}

// The features of the first record that nothing looks at.
std::vector<NotRead> unread_features(const Shards& shards) {
  constexpr size_t kShown = 12;
  for (const Shard& shard : shards.shards) {
    if (shard.samples.empty()) continue;
    const RecordPlace place{shard.path, shard.samples.front().offset};
    std::vector<std::string> names;
    try {
      names = Example(record_at(shard.file->bytes(), place), place).keys();
    } catch (const Error&) {  // get() says what is wrong with it
    }
    std::erase_if(names, [](const std::string& name) {
      return name == "image" || name == "label" || name == "file_name" || name == "id";
    });
    if (names.empty()) return {};
    std::vector<std::string> shown;
    for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
      shown.push_back(printable(std::string_view(names[i]).substr(0, 60)));
    return {{fmt::format(
                 "{}: features that are not read: {}{}",
                 fs::path(shard.path).parent_path().string(), fmt::join(shown, ", "),
                 names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : ""),
             /*expected=*/true}};
  }
  return {};
}

// Names from label.labels.txt; numbers when only their count is known; nothing when neither is.
std::vector<std::string> stored_classes(const fs::path& folder) {
  constexpr uint64_t kMaxFeatures = 32 << 20;
  const fs::path names = folder / "label.labels.txt", features = folder / "features.json";
  if (fs::is_regular_file(names)) return read_class_map(names).names;
  if (!fs::is_regular_file(features)) return {};
  const int64_t count = parse_tfds_class_count(read_text(features, kMaxFeatures));
  return count <= kMaxClasses ? numbered_classes(static_cast<int>(count))
                              : std::vector<std::string>();
}

Error not_found(const DatasetOptions& options, const TfdsName& name) {
  const std::string root = options.root.string();
  const auto there = datasets_in(options.root);
  const std::string list =
      there.empty() ? "no dataset of TFDS" : fmt::format("of TFDS: {}", fmt::join(there, ", "));
  if (name.path.empty() && there.size() > 1)
    return Error(fmt::format("{} holds several datasets {}", root, list),
                 "name one: --dataset tfds/" + there.front());
  if (const auto configs = datasets_in(options.root / name.path);
      !name.path.empty() && configs.size() > 1)
    return Error(fmt::format("{}: several configurations of '{}': {}/{}", root, name.path,
                             name.path, fmt::join(configs, fmt::format(", {}/", name.path))),
                 fmt::format("name one: --dataset tfds/{}/{}", name.path, configs.front()));
  const std::string wanted = name.path.empty() ? "NAME" : name.path;
  const std::string version = name.version.empty() ? "VERSION" : name.version;
  return Error(
      fmt::format("{}: no TFDS dataset '{}' there; it holds {}", root, wanted, list),
      fmt::format("looked for {}-SPLIT.tfrecord-NNNNN-of-NNNNN in {}/{}/{}, in {} and in {}/{}",
                  name.path.empty() ? "NAME" : name.dataset(), root, wanted, version, root, root,
                  version));
}

}  // namespace

fs::path tfds_data_dir() {
  if (const auto folder = environment_variable("TFDS_DATA_DIR")) return *folder;
  const auto home = environment_variable("HOME");
  return home ? fs::path(*home) / "tensorflow_datasets" : fs::path();
}

bool looks_like_tfds(const fs::path& root) {
  return find_tfds(root, {}) || datasets_in(root).size() > 1;
}

bool has_tfds(const fs::path& root, const std::string& name) {
  return find_tfds(root, parse_tfds_name(name)).has_value();
}

std::unique_ptr<Dataset> open_tfds(const DatasetOptions& options) {
  const TfdsName name = parse_tfds_name(options.name);
  const auto folder = find_tfds(options.root, name);
  if (!folder) throw not_found(options, name);
  const Split split = parse_split(options.split);
  const TfdsShards found = find_shards(*folder, split);

  std::vector<std::string> usual = stored_classes(*folder);
  Shards shards = scan_shards(found, options, usual.empty() ? kMaxClasses : std::ssize(usual));
  if (usual.empty()) {
    int highest = -1;
    for (const Shard& shard : shards.shards)
      for (const ShardSample& sample : shard.samples) highest = std::max(highest, sample.label);
    usual = numbered_classes(highest + 1);
  }
  const int count = static_cast<int>(usual.size());
  auto classes = class_names(options, count, std::move(usual));
  require_two_classes(classes, folder->string(), "no record holds another class");
  const auto not_read = unread_features(shards);
  const std::string version =
      folder->filename().empty() ? folder->parent_path().filename() : folder->filename();
  auto dataset = std::make_unique<TfdsDataset>(fmt::format("tfds {}/{}", found.dataset, version),
                                               std::move(shards), std::move(classes), not_read);
  if (dataset->size() == 0)
    throw Error(fmt::format("{}: no records in the split '{}'", folder->string(), found.split));
  if (found.undivided) dataset->divide(options, split);
  return dataset;
}

}  // namespace nestvit
