// Which folder holds a TFDS dataset, and which files hold a split.
#include "data/shards/tfds_tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

constexpr uint64_t kMaxJson = 32 << 20;
constexpr int kMaxShards = 1'000'000;
// The most entries of a folder that are looked at. A dataset has few versions and a tree few
// datasets; a class folder with a million images, met by mistake, must not cost a second.
constexpr int kLookedAt = 256;

std::optional<int64_t> to_number(std::string_view digits) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || digits.front() == '-' || error != std::errc() ||
      end != digits.data() + digits.size())
    return std::nullopt;
  return value;
}

// JSON of protobuf writes int64 as strings.
std::optional<int64_t> json_number(const json& value) {
  if (value.is_string()) return to_number(value.get_ref<const std::string&>());
  if (value.is_number_unsigned() && value.get<uint64_t>() <= INT64_MAX) return value.get<int64_t>();
  return std::nullopt;
}

using Version = std::array<int64_t, 3>;

std::optional<Version> parse_version(std::string_view text) {
  Version version{};
  for (size_t i = 0; i < version.size(); ++i) {
    const size_t end = i + 1 < version.size() ? text.find('.') : text.size();
    if (end == std::string_view::npos) return std::nullopt;
    const auto number = to_number(text.substr(0, end));
    if (!number) return std::nullopt;
    version[i] = *number;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return version;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The names of the first `most` sub-folders among the first `most` entries.
std::vector<std::string> folders_in(const fs::path& folder, int most = kLookedAt) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (most-- == 0) break;
    if (entry.is_directory(ignored)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<ShardName> shards_in(const fs::path& folder) {
  std::vector<ShardName> shards;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (auto shard = parse_shard_name(entry.path().filename().string()))
      shards.push_back(std::move(*shard));
  return shards;
}

// Other programs write a dataset_info.json too; TFDS has features.json beside it, or shards.
bool is_version_folder(const fs::path& folder) {
  return (is_file(folder / "dataset_info.json") && is_file(folder / "features.json")) ||
         !shards_in(folder).empty();
}

std::optional<fs::path> find_version(const fs::path& folder, const std::string& wanted) {
  std::optional<Version> newest;
  std::optional<fs::path> found;
  for (const auto& name : folders_in(folder)) {
    const auto version = parse_version(name);
    if (!version || (!wanted.empty() && name != wanted) || (newest && *version < *newest) ||
        !is_version_folder(folder / name))
      continue;
    newest = version;
    found = folder / name;
  }
  return found;
}

// A version's folder is of `dataset` unless its shards say otherwise.
bool holds(const fs::path& version_folder, const std::string& dataset) {
  const auto shards = shards_in(version_folder);
  return dataset.empty() || shards.empty() || shards.front().dataset == dataset;
}

std::map<std::string, ShardLengths> read_info(const fs::path& folder) {
  const fs::path path = folder / "dataset_info.json";
  if (!is_file(path)) return {};
  return parse_tfds_info(read_text(path, kMaxJson), path.string());
}

std::optional<std::string> first_of(const std::vector<std::string>& names,
                                    const std::set<std::string>& there) {
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const auto& name) { return there.contains(name); });
  return found == names.end() ? std::nullopt : std::optional(*found);
}

std::string pattern(const std::string& dataset, const std::string& split) {
  return fmt::format("{}-{}.tfrecord-NNNNN-of-NNNNN", dataset, split);
}

// Dataset, split and undivided of what find_shards() returns.
TfdsShards choose_split(const fs::path& folder, Split split, const std::vector<ShardName>& shards,
                        const std::map<std::string, ShardLengths>& info) {
  std::set<std::string> there, named;
  for (const auto& shard : shards) there.insert(shard.split);
  for (const auto& [name, _] : info) named.insert(name);
  const auto exists = [&](Split part) {
    return first_of(split_names(part), there) || first_of(split_names(part), named);
  };
  TfdsShards found;
  found.dataset = shards.front().dataset;
  found.undivided = split != Split::kTest && !exists(Split::kVal) && !exists(Split::kTest);
  auto name = first_of(split_names(found.undivided ? Split::kTrain : split), there);
  if (!name && split == Split::kVal) name = first_of(split_names(Split::kTest), there);
  if (!name)
    throw Error(
        fmt::format("{}: no shards of the split '{}'; there are: {}", folder.string(),
                    split_names(split).front(), fmt::join(there, ", ")),
        "looked for files " + pattern(found.dataset, split == Split::kTrain ? "train"
                                                     : split == Split::kVal ? "{validation,test}"
                                                                            : "test"));
  found.split = *name;
  return found;
}

}  // namespace

std::optional<ShardName> parse_shard_name(const std::string& file) {
  constexpr std::string_view kMark = ".tfrecord-", kOf = "-of-";
  const size_t mark = file.rfind(kMark), of = file.rfind(kOf);
  if (mark == std::string::npos || of == std::string::npos || of < mark + kMark.size())
    return std::nullopt;
  const size_t dash = file.rfind('-', mark);
  if (dash == std::string::npos || dash == 0 || dash + 1 == mark) return std::nullopt;
  const size_t digits = mark + kMark.size();
  const auto index = to_number(std::string_view(file).substr(digits, of - digits));
  const auto count = to_number(std::string_view(file).substr(of + kOf.size()));
  if (!index || !count || *index >= *count || *count > kMaxShards) return std::nullopt;
  return ShardName{file, file.substr(0, dash), file.substr(dash + 1, mark - dash - 1), *index,
                   *count};
}

std::map<std::string, ShardLengths> parse_tfds_info(const std::string& text,
                                                    const std::string& origin) {
  const json info = json::parse(text, nullptr, false);
  if (!info.is_object())
    throw Error(origin + ": not a JSON object", "is the copy complete? Copy the file again");
  const std::string format = info.contains("fileFormat") && info["fileFormat"].is_string()
                                 ? info["fileFormat"].get<std::string>()
                                 : "tfrecord";
  if (format != "tfrecord")
    throw Error(
        fmt::format("{}: the records are stored as '{}'; nestvit reads tfrecord", origin, format),
        "prepare the dataset with file_format='tfrecord'");
  std::map<std::string, ShardLengths> splits;
  for (const json& split : info.value("splits", json::array())) {
    if (!split.is_object() || !split.contains("name") || !split["name"].is_string())
      throw Error(origin + ": \"splits\" is not a list of {\"name\", \"shardLengths\"}");
    ShardLengths& lengths = splits[split["name"].get<std::string>()];
    lengths.clear();
    // Older versions of TFDS do not have it; the shards are then counted by their names.
    for (const json& length : split.value("shardLengths", json::array()))
      if (const auto number = json_number(length)) {
        lengths.push_back(*number);
      } else {
        lengths.clear();
        break;
      }
  }
  return splits;
}

int64_t parse_tfds_class_count(const std::string& text) {
  const json features = json::parse(text, nullptr, false);
  // Now: featuresDict.features.label.classLabel.numClasses; before: content.label.num_classes.
  for (const char* label :
       {"/featuresDict/features/label", "/content/features/label", "/content/label"})
    for (const char* count : {"/classLabel/numClasses", "/content/numClasses",
                              "/content/num_classes", "/num_classes"}) {
      const json::json_pointer where(std::string(label) + count);
      if (!features.is_object() || !features.contains(where)) continue;
      if (const auto number = json_number(features[where])) return *number;
    }
  return 0;
}

TfdsName parse_tfds_name(const std::string& given) {
  TfdsName name;
  name.path = given.starts_with("tfds/") ? given.substr(5) : given;
  if (const size_t colon = name.path.find(':'); colon != std::string::npos) {
    name.version = name.path.substr(colon + 1);
    name.path.resize(colon);
  }
  while (name.path.ends_with('/')) name.path.pop_back();
  if (name.path == "tfds") name.path.clear();
  if (name.path == "imagenet") name.path = "imagenet2012";  // as the official code
  return name;
}

std::optional<fs::path> find_tfds(const fs::path& root, const TfdsName& name) {
  if (!name.path.empty()) {
    const fs::path folder = root / name.path;
    if (auto found = find_version(folder, name.version)) return found;
    // NAME/CONFIG/VERSION, when there is no choice.
    const auto configs = datasets_in(folder);
    if (configs.size() == 1)
      if (auto found = find_version(folder / configs.front(), name.version)) return found;
  }
  std::optional<fs::path> found;
  if (is_version_folder(root))
    found = root;
  else
    found = find_version(root, name.version);
  if (found) return holds(*found, name.dataset()) ? found : std::nullopt;
  const auto all = name.path.empty() ? datasets_in(root) : std::vector<std::string>();
  return all.size() == 1 ? find_version(root / all.front(), name.version) : std::nullopt;
}

std::vector<std::string> datasets_in(const fs::path& root) {
  auto names = folders_in(root);
  std::erase_if(names, [&](const auto& name) { return !find_version(root / name, ""); });
  return names;
}

TfdsShards find_shards(const fs::path& folder, Split split) {
  auto info = read_info(folder);
  const auto all = shards_in(folder);
  if (all.empty())
    throw Error(fmt::format("{}: no shards", folder.string()),
                "looked for files " + pattern("NAME", "SPLIT"));
  TfdsShards found = choose_split(folder, split, all, info);
  found.lengths = info[found.split];

  std::map<int64_t, std::map<int64_t, std::string>> groups;  // shard count -> index -> file
  for (const auto& shard : all)
    if (shard.split == found.split) groups[shard.count][shard.index] = shard.file;
  const int64_t count =
      found.lengths.empty() ? groups.begin()->first : static_cast<int64_t>(found.lengths.size());
  if (found.lengths.empty() && groups.size() > 1)
    throw Error(fmt::format("{}: shards of {} and of {} of the split '{}' side by side",
                            folder.string(), count, std::next(groups.begin())->first, found.split),
                "keep those that belong together");
  const auto& files = groups[count];
  int64_t index = 0;
  for (; files.contains(index); ++index) found.paths.push_back(folder / files.at(index));
  if (index < count)
    throw Error(fmt::format("{}: {} of {} shards of the split '{}' are missing, the first is "
                            "{}-{}.tfrecord-{:05}-of-{:05}",
                            folder.string(), count - std::ssize(files), count, found.split,
                            found.dataset, found.split, index, count),
                "an incomplete copy? Copy the missing files");
  return found;
}

}  // namespace nestvit
