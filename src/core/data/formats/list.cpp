// Which list holds a split, labels to indices, and the list as a dataset.
#include "data/formats/list.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "base/fields.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/formats/list_rows.h"
#include "data/formats/list_table.h"
#include "data/names.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// "12" but neither "012" nor "1e3": such labels are names.
bool is_integer(const std::string& text) {
  const std::string_view digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  return !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos &&
         (digits.size() == 1 || digits.front() != '0');
}

// -1: not a number from 0 to limit - 1.
int to_index(const std::string& text, int limit) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return is_integer(text) && error == std::errc() && value >= 0 && value < limit ? value : -1;
}

using Labels = std::vector<ListTable::Label>;

ClassMap list_classes(const Labels& labels, const DatasetOptions& options,
                      const std::string& origin) {
  if (!options.class_map.empty()) return read_class_map(options.class_map);
  if (std::all_of(labels.begin(), labels.end(),
                  [](const ListTable::Label& label) { return is_integer(label.text); })) {
    int count = 0;
    for (const auto& label : labels) {
      const int index = to_index(label.text, kMaxClasses);
      if (index < 0)
        throw Error(fmt::format("{} line {}: label {} is not a class index", origin, label.line,
                                label.text),
                    fmt::format("indices run from 0 to at most {}", kMaxClasses - 1));
      count = std::max(count, index + 1);
    }
    return {numbered_classes(count), numbered_classes(count)};
  }
  std::vector<std::string> names;
  for (const auto& label : labels) names.push_back(label.text);
  std::sort(names.begin(), names.end());
  sort_classes(names, options.class_order);
  return {names, names};
}

// One label per row: its name's position in `map`, or with `indices` also a number into it.
std::vector<int> list_labels(const ListTable& rows, const ClassMap& map, bool indices,
                             const std::string& origin) {
  const std::vector<std::string>& classes = map.names;
  std::unordered_map<std::string, int> by_name;
  for (const auto* names : {&map.keys, &map.names})
    for (size_t i = 0; i < names->size(); ++i) by_name.emplace((*names)[i], static_cast<int>(i));
  std::vector<int> class_of;  // [texts.size()]
  for (const auto& [text, line] : rows.texts) {
    const auto found = by_name.find(text);
    int label = found != by_name.end() ? found->second : -1;
    if (label < 0 && indices) label = to_index(text, static_cast<int>(classes.size()));
    if (label < 0) {
      const auto close = nearest(text, classes);
      throw Error(
          fmt::format("{} line {}: unknown class '{}'; there are {} classes, the first is '{}'",
                      origin, line, text, classes.size(), classes.front()),
          close.empty() ? "classes come from the class map, or else from the training list"
                        : fmt::format("did you mean '{}'?", close));
    }
    class_of.push_back(label);
  }
  std::vector<int> labels = rows.labels;
  for (int& label : labels) label = class_of[label];
  return labels;
}

void require_every_class(const std::vector<int>& labels, const std::vector<std::string>& classes,
                         const std::string& origin) {
  std::vector<bool> seen(classes.size());
  for (int label : labels) seen[label] = true;
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing == seen.end()) return;
  throw Error(fmt::format("{}: {} of {} classes have no image; the first is '{}'", origin,
                          std::count(seen.begin(), seen.end(), false), classes.size(),
                          classes[missing - seen.begin()]),
              "add images, or take the class out; indices must be 0, 1, 2, ... without gaps");
}

// Looks at the first paths only: single missing files are left to the loader.
bool some_are_there(const fs::path& base, const PathList& paths) {
  constexpr int64_t kLooked = 16;
  std::error_code ignored;
  for (int64_t i = 0; i < std::min(paths.size(), kLooked); ++i)
    if (fs::exists(base / paths.at(i), ignored)) return true;
  return false;
}

// Finds a wrong folder at once, not after hours.
void require_some_file(const fs::path& base, ListTable& rows, const std::string& origin) {
  if (some_are_there(base, rows.paths)) return;
  // A list that was written on Windows: img\1.jpg.
  PathList slashes;
  for (int64_t i = 0; i < rows.paths.size(); ++i) {
    std::string path = rows.paths.at(i);
    std::replace(path.begin(), path.end(), '\\', '/');
    slashes.add(path);
  }
  if (!some_are_there(base, slashes))
    throw Error(fmt::format("{} line {}: image '{}' is not there (looked for {})", origin,
                            rows.line, rows.paths.at(0), (base / rows.paths.at(0)).string()),
                "paths are relative to the folder of the list");
  rows.paths = std::move(slashes);
}

// The list that holds `split`, and the one that defines the classes.
struct Lists {
  fs::path own, train;
  bool whole = false;  // `own` holds this split and nothing else
  std::vector<NotRead> not_read;
};

Lists named_list(const fs::path& list, Split split) {
  Lists lists{list, list, false, {}};
  const bool is_train = find_split_named(ascii_lower(list.stem().string())) == Split::kTrain;
  const auto val = is_train ? find_list(list.parent_path(), Split::kVal) : std::nullopt;
  if (val && split != Split::kTest)
    lists.not_read.push_back(
        {fmt::format("{} is not read: give the folder to use it for validation", val->string())});
  return lists;
}

Lists find_lists(const fs::path& root, Split split) {
  if (fs::is_regular_file(root)) return named_list(root, split);
  Lists lists;
  const auto train = find_list(root, Split::kTrain), own = find_list(root, split);
  auto others = lists_in(root);
  // A lone test.csv is not for training.
  std::erase_if(others,
                [&](const fs::path& list) { return is_split(ascii_lower(list.stem().string())); });
  if (own) {
    lists.own = *own;
    lists.train = train.value_or(*own);
    lists.whole = split != Split::kTrain || find_list(root, Split::kVal);
  } else if (train || others.size() == 1) {
    lists.own = lists.train = train ? *train : others.front();
    std::erase(others, lists.own);
  } else {
    throw Error(fmt::format("{}: no train.csv or train.tsv in it", root.string()),
                others.empty() ? "write one row per image: path,label" : "name the list itself");
  }
  if (!others.empty())
    lists.not_read.push_back(
        {fmt::format("{}: lists that are not read: {}{}", root.string(),
                     others.front().filename().string(),
                     others.size() > 1 ? fmt::format(" and {} more", others.size() - 1) : ""),
         /*expected=*/true});
  return lists;
}

// The rows of one split.
struct OwnRows {
  ListTable rows;
  bool divided = false;  // no part says which they are: a seeded share of these rows is the split
};

OwnRows own_rows(ListTable list, bool whole, Split split, const std::string& origin) {
  const std::string& name = split_names(split).front();
  if (list.parts.empty()) {
    if (split == Split::kTest && !whole)
      throw Error(
          fmt::format("{}: no test.csv or test.tsv beside it, and no column that says which "
                      "rows are for testing",
                      origin),
          "use --split val");
    return {std::move(list), !whole};
  }
  const bool divided = split != Split::kTest && !list.has(Split::kVal);
  const Split own = divided ? Split::kTrain : split;
  for (const Split other : {Split::kTrain, Split::kVal, Split::kTest})
    if (whole && other != split && list.has(other))
      throw Error(fmt::format("{} line {}: the column '{}' says '{}', but the file is called '{}'",
                              origin, list.part_lines[static_cast<size_t>(other)], list.part_column,
                              split_names(other).front(), name),
                  "take the column out, or keep all rows in one list of another name");
  if (!list.has(own))
    throw Error(fmt::format("{}: no row is of the part '{}' by the column '{}'", origin,
                            split_names(own).front(), list.part_column),
                "name another split, or mark rows of this one");
  return {part_of(list, own), divided && !whole};
}

}  // namespace

bool is_list(const fs::path& path) {
  const auto extension = ascii_lower(path.extension().string());
  std::error_code ignored;
  return (extension == ".csv" || extension == ".tsv") && fs::is_regular_file(path, ignored);
}

std::vector<fs::path> lists_in(const fs::path& folder) {
  std::vector<fs::path> lists;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_list(entry.path())) lists.push_back(entry.path());
  std::sort(lists.begin(), lists.end());
  return lists;
}

std::optional<fs::path> find_list(const fs::path& folder, Split split) {
  const auto lists = lists_in(folder);
  for (const auto& name : split_names(split))
    for (const char* extension : {".csv", ".tsv"})
      for (const fs::path& list : lists)
        if (ascii_lower(list.filename().string()) == name + extension) return list;
  return std::nullopt;
}

std::unique_ptr<Dataset> open_list(const DatasetOptions& options) {
  const Split split = parse_split(options.split);
  const Lists lists = find_lists(options.root, split);
  const std::string origin = lists.own.string();
  ListTable list = read_list(lists.own);
  const ClassMap map = list_classes(
      lists.train == lists.own ? training_labels(list) : training_labels(read_list(lists.train)),
      options, lists.train.string());
  auto [rows, divided] = own_rows(std::move(list), lists.whole, split, origin);
  FileDataset::Files files;
  files.base = lists.own.parent_path();
  files.classes = map.names;
  files.labels = list_labels(rows, map, !options.class_map.empty(), origin);
  require_two_classes(files.classes, origin, "add rows of another class");
  if (divided || split == Split::kTrain) require_every_class(files.labels, files.classes, origin);
  require_some_file(files.base, rows, origin);
  files.paths = std::move(rows.paths);
  files.not_read = lists.not_read;
  files.not_read.insert(files.not_read.end(), rows.not_read.begin(), rows.not_read.end());
  if (const auto alike = lookalikes(files.classes); !alike.empty())
    files.not_read.push_back({fmt::format("{}: {}", lists.train.string(), alike)});
  if (divided) files = seeded_share(files, options, split);
  return std::make_unique<FileDataset>("list", std::move(files));
}

}  // namespace nestvit
