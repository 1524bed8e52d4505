// Lists of images: the parser, labels to indices, and the list as a dataset.
#include "data/formats/list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/fields.h"
#include "base/file.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// Splits text into rows of fields, one row per call.
class FieldReader {
 public:
  FieldReader(std::string_view text, char delimiter, const std::string& origin)
      : text_(text), delimiter_(delimiter), origin_(origin) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // Excel's byte order mark
  }
  bool done() const { return at_ >= text_.size(); }
  size_t position() const { return at_; }
  int64_t line() const { return line_; }  // of the row that next() returned last

  std::vector<std::string> next() {
    line_ = next_line_;
    std::vector<std::string> fields;
    do fields.push_back(field());
    while (take(delimiter_));
    if (!take('\n') && take('\r')) take('\n');
    ++next_line_;
    return fields;
  }

 private:
  bool take(char c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool at_end_of_field() const {
    return done() || text_[at_] == delimiter_ || text_[at_] == '\n' || text_[at_] == '\r';
  }
  std::string field() {
    if (!take('"')) {
      const size_t begin = at_;
      while (!at_end_of_field()) ++at_;
      return std::string(text_.substr(begin, at_ - begin));
    }
    const int64_t opened = next_line_;
    std::string value;
    while (!done()) {
      if (take('"') && !(at_ < text_.size() && text_[at_] == '"')) {
        if (at_end_of_field()) return value;
        throw Error(fmt::format("{} line {}: text after a closing quote", origin_, opened),
                    "write a quote inside a quoted field twice: \"\"");
      }
      if (text_[at_] == '\n') ++next_line_;
      value += text_[at_++];
    }
    throw Error(
        fmt::format("{} line {}: the quote that starts here is never closed", origin_, opened));
  }

  std::string_view text_;
  char delimiter_;
  std::string origin_;
  size_t at_ = 0;
  int64_t line_ = 0, next_line_ = 1;
};

// Which columns hold path and label.
struct Columns {
  size_t path = 0, label = 1;
  bool header = false;
};

Columns find_columns(const std::vector<std::string>& first) {
  static const std::set<std::string> paths = {"path",     "file",  "filename",   "file_name",
                                              "filepath", "image", "image_path", "img"};
  static const std::set<std::string> labels = {"label",      "labels", "class",
                                               "class_name", "target", "category"};
  Columns columns;
  bool path = false, label = false;
  for (size_t i = 0; i < first.size(); ++i) {
    const auto name = ascii_lower(first[i]);
    if (!path && paths.contains(name))
      columns.path = i, path = true;
    else if (!label && labels.contains(name))
      columns.label = i, label = true;
  }
  return path && label ? Columns{columns.path, columns.label, true} : Columns{};
}

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

// A list that needs little memory: it holds the text of every label once.
struct Rows {
  struct Label {
    std::string text;
    int64_t line = 0;  // where it comes first
  };
  PathList paths;
  std::vector<int> labels;  // [paths.size()], of `texts`
  std::vector<Label> texts;
  int64_t line = 0;  // of the first row
};

ClassMap list_classes(const Rows& rows, const DatasetOptions& options, const std::string& origin) {
  if (!options.class_map.empty()) return read_class_map(options.class_map);
  if (std::all_of(rows.texts.begin(), rows.texts.end(),
                  [](const Rows::Label& label) { return is_integer(label.text); })) {
    int count = 0;
    for (const auto& label : rows.texts) {
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
  for (const auto& label : rows.texts) names.push_back(label.text);
  std::sort(names.begin(), names.end());
  sort_classes(names, options.class_order);
  return {names, names};
}

// One label per row: its name's position in `map`, or with `indices` also a number into it.
std::vector<int> list_labels(const Rows& rows, const ClassMap& map, bool indices,
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

// Finds a wrong folder at once, not after hours. Single missing files are left to the loader.
void require_some_file(const fs::path& base, const Rows& rows, const std::string& origin) {
  constexpr int64_t kLooked = 16;
  std::error_code ignored;
  for (int64_t i = 0; i < std::min(rows.paths.size(), kLooked); ++i)
    if (fs::exists(base / rows.paths.at(i), ignored)) return;
  throw Error(fmt::format("{} line {}: image '{}' is not there (looked for {})", origin, rows.line,
                          rows.paths.at(0), (base / rows.paths.at(0)).string()),
              "paths are relative to the folder of the list");
}

Rows read_list(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  // The memory of the part that was read is given back each time it has this many bytes.
  constexpr size_t kRead = 64 << 20;
  size_t forgotten = 0;
  Rows rows;
  std::unordered_map<std::string, int> seen;
  each_row(text, list_delimiter(path, text), path.string(), [&](const ListRow& row) {
    if (rows.labels.empty()) rows.line = row.line;
    const auto [label, fresh] = seen.emplace(row.label, static_cast<int>(rows.texts.size()));
    if (fresh) rows.texts.push_back({row.label, row.line});
    rows.paths.add(row.path);
    rows.labels.push_back(label->second);
    if (row.end - forgotten > kRead) {
      file->forget(file->bytes().subspan(forgotten, row.end - forgotten));
      forgotten = row.end;
    }
  });
  if (rows.labels.empty())
    throw Error(path.string() + ": no rows", "write one row per image: path,label");
  return rows;
}

// The list that holds `split`, and the one that defines the classes.
struct Lists {
  fs::path own, train;
  bool whole = false;  // `own` holds this split and nothing else
};

Lists find_lists(const fs::path& root, Split split) {
  Lists lists;
  if (fs::is_regular_file(root)) {
    lists.own = lists.train = root;
  } else {
    const auto train = find_list(root, Split::kTrain), own = find_list(root, split);
    auto all = lists_in(root);
    // A lone test.csv is not for training.
    std::erase_if(
        all, [&](const fs::path& list) { return is_split(ascii_lower(list.stem().string())); });
    if (own) {
      lists.own = *own;
      lists.train = train.value_or(*own);
      lists.whole = split != Split::kTrain || find_list(root, Split::kVal);
    } else if (train || all.size() == 1) {
      lists.own = lists.train = train.value_or(all.empty() ? fs::path() : all.front());
    } else {
      throw Error(fmt::format("{}: no train.csv or train.tsv in it", root.string()),
                  all.empty() ? "write one row per image: path,label" : "name the list itself");
    }
  }
  if (split == Split::kTest && !lists.whole)
    throw Error(fmt::format("{}: no test.csv or test.tsv", root.string()), "use --split val");
  return lists;
}

}  // namespace

void each_row(std::string_view text, char delimiter, const std::string& origin,
              const std::function<void(const ListRow&)>& visit) {
  FieldReader reader(text, delimiter, origin);
  // Held back until the second row is known: a header of other words ("name,breed") is the only row
  // whose path does not name an image.
  std::optional<ListRow> held;
  int64_t count = 0;
  Columns columns;
  for (bool first = true; !reader.done();) {
    auto fields = reader.next();
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (std::exchange(first, false)) {
      columns = find_columns(fields);
      if (columns.header) continue;
    }
    const size_t needed = std::max(columns.path, columns.label) + 1;
    if (columns.header ? fields.size() < needed : fields.size() != 2)
      throw Error(fmt::format("{} line {}: {} fields, expected {}{}", origin, reader.line(),
                              fields.size(), columns.header ? "at least " : "", needed),
                  "a row is path,label; put a path with a comma in double quotes");
    ListRow row{std::move(fields[columns.path]), std::move(fields[columns.label]), reader.line(),
                reader.position()};
    if (row.path.empty() || row.label.empty() || row.path.find('\0') != std::string::npos)
      throw Error(fmt::format("{} line {}: {}", origin, row.line,
                              row.path.empty()    ? "no path"
                              : row.label.empty() ? "no label"
                                                  : "a zero byte in the path"),
                  "a row is path,label");
    if (++count == 1) {
      held = std::move(row);
      continue;
    }
    const bool other_words = !columns.header && count == 2 && !has_image_extension(held->path) &&
                             has_image_extension(row.path);
    if (held && !other_words) visit(*held);
    held.reset();
    visit(row);
  }
  if (held) visit(*held);
}

std::vector<ListRow> parse_list(std::string_view text, char delimiter, const std::string& origin) {
  std::vector<ListRow> rows;
  each_row(text, delimiter, origin, [&](const ListRow& row) { rows.push_back(row); });
  return rows;
}

char list_delimiter(const fs::path& path, std::string_view text) {
  if (ascii_lower(path.extension().string()) == ".tsv") return '\t';
  const auto line = text.substr(0, text.find('\n'));
  for (char c : {',', '\t', ';'})
    if (line.find(c) != std::string_view::npos) return c;
  return ',';
}

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
  for (const auto& name : split_names(split))
    for (const char* extension : {".csv", ".tsv"})
      if (is_list(folder / (name + extension))) return folder / (name + extension);
  return std::nullopt;
}

std::unique_ptr<Dataset> open_list(const DatasetOptions& options) {
  const Split split = parse_split(options.split);
  const Lists lists = find_lists(options.root, split);
  const std::string origin = lists.own.string();
  Rows rows = read_list(lists.own);
  FileDataset::Files files;
  files.base = lists.own.parent_path();
  const ClassMap map = lists.train == lists.own
                           ? list_classes(rows, options, origin)
                           : list_classes(read_list(lists.train), options, lists.train.string());
  files.classes = map.names;
  files.labels = list_labels(rows, map, !options.class_map.empty(), origin);
  require_two_classes(files.classes, origin, "add rows of another class");
  if (!lists.whole || split == Split::kTrain)
    require_every_class(files.labels, files.classes, origin);
  require_some_file(files.base, rows, origin);
  files.paths = std::move(rows.paths);
  if (!lists.whole) files = seeded_share(files, options, split);
  return std::make_unique<FileDataset>("list", std::move(files));
}

}  // namespace nestvit
