// The parser of CSV and TSV, and the names of columns.
#include "data/formats/list_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "data/formats/file_dataset.h"
#include "data/names.h"

namespace nestvit {
namespace {

using Fields = std::vector<std::string>;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // Excel's

// Splits text into rows of fields, one row per call.
class FieldReader {
 public:
  FieldReader(std::string_view text, char delimiter, const std::string& origin)
      : text_(text), delimiter_(delimiter), origin_(origin) {
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
      throw Error(origin + " is UTF-16", "save it as UTF-8: iconv -f UTF-16 -t UTF-8");
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  }
  bool done() const { return at_ >= text_.size(); }
  size_t position() const { return at_; }
  int64_t line() const { return line_; }  // of the row that next() returned last

  Fields next() {
    line_ = next_line_;
    Fields fields;
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
  void skip_blanks() {
    while (!at_end_of_field() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  std::string field() {
    const size_t begin = at_;
    skip_blanks();
    if (take('"')) return quoted();
    while (!at_end_of_field()) ++at_;
    return std::string(trimmed(text_.substr(begin, at_ - begin)));
  }
  std::string quoted() {
    const int64_t opened = next_line_;
    std::string value;
    while (!done()) {
      if (take('"') && !(at_ < text_.size() && text_[at_] == '"')) {
        skip_blanks();
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

// ---- columns ----

using Names = std::vector<const char*>;
// Of several such columns the one whose name stands first here is read.
const Names kPaths = {"path",       "filepath", "filename", "file",     "image_path", "image_file",
                      "image_name", "image",    "img_path", "img_file", "img_name",   "img",
                      "photo",      "picture",  "fname",    "image_id"};
const Names kLabels = {"label",      "class",         "target", "category", "species",
                       "class_name", "category_name", "breed",  "class_id", "category_id"};
const Names kParts = {"split", "subset",  "set",   "partition", "fold",
                      "phase", "dataset", "usage", "data_split"};
const Names kFlags = {"is_valid", "is_val"};  // fastai's: true for validation

// "Image Path", "image_path" and "ImagePath" are one name.
std::string plain(std::string_view name) {
  std::string letters = ascii_lower(name);
  std::erase_if(letters, [](char c) { return c == ' ' || c == '_' || c == '-'; });
  return letters;
}

// The column whose name, or its plural, stands first in `known`. `names` are plain.
std::optional<size_t> find_column(const Fields& names, const Names& known) {
  for (const char* word : known)
    for (size_t i = 0; i < names.size(); ++i)
      for (const char* plural : {"", "s", "es"})
        if (names[i] == plain(word) + plural) return i;
  return std::nullopt;
}

// Which columns a row has.
struct Columns {
  size_t path = 0, label = 1, count = 2;
  std::optional<size_t> part;
  bool part_is_flag = false;
  bool header = false;  // the first row names them
};

Columns find_columns(const Fields& first) {
  if (std::any_of(first.begin(), first.end(), has_image_extension)) return {};
  Fields names;
  for (const auto& name : first) names.push_back(plain(name));
  const auto path = find_column(names, kPaths), label = find_column(names, kLabels);
  Columns columns;
  columns.count = first.size();
  columns.part = find_column(names, kParts);
  if (!columns.part) {
    columns.part = find_column(names, kFlags);
    columns.part_is_flag = columns.part.has_value();
  }
  if (path && label) {
    columns.path = *path;
    columns.label = *label;
    columns.header = true;
    return columns;
  }
  // With two columns beside the parts one known name is enough, or none: path comes first.
  std::vector<size_t> others;
  for (size_t i = 0; i < names.size(); ++i)
    if (i != columns.part && !names[i].empty()) others.push_back(i);
  if (others.size() != 2 || !(path || label || columns.part)) return {};
  const bool swapped = path == others[1] || label == others[0];
  columns.path = others[swapped ? 1 : 0];
  columns.label = others[swapped ? 0 : 1];
  columns.header = true;
  return columns;
}

ListColumns named(const Columns& columns, const Fields& header) {
  ListColumns names{.path = header[columns.path],
                    .label = header[columns.label],
                    .part = columns.part ? header[*columns.part] : "",
                    .part_is_flag = columns.part_is_flag,
                    .rest = {}};
  for (size_t i = 0; i < header.size(); ++i)
    if (i != columns.path && i != columns.label && i != columns.part)
      names.rest.push_back(header[i].empty() ? fmt::format("number {}", i + 1) : header[i]);
  return names;
}

// ---- rows ----

bool is_empty(const Fields& fields) {
  return std::all_of(fields.begin(), fields.end(), [](const auto& field) { return field.empty(); });
}

struct Line {
  const std::string& origin;
  int64_t number;
};
std::string text_of(const Line& line) {
  return fmt::format("{} line {}", line.origin, line.number);
}

void require_fields(Fields& fields, const Columns& columns, const Line& line) {
  // Spreadsheets end rows with empty fields.
  while (fields.size() > columns.count && fields.back().empty()) fields.pop_back();
  const size_t needed = std::max({columns.path, columns.label, columns.part.value_or(0)}) + 1;
  if (fields.size() >= needed && fields.size() <= columns.count) return;
  const std::string expected = !columns.header ? "2"
                               : fields.size() < needed
                                   ? fmt::format("at least {}", needed)
                                   : fmt::format("the {} that the first row names", columns.count);
  throw Error(fmt::format("{}: {} fields, expected {}", text_of(line), fields.size(), expected),
              columns.header ? "put a text with a comma in double quotes"
                             : "a row is path,label, and a text with a comma is in double quotes; "
                               "where there are other columns the first row names them: " +
                                   column_rule());
}

ListRow make_row(Fields fields, const Columns& columns, const Line& line) {
  require_fields(fields, columns, line);
  ListRow row{std::move(fields[columns.path]), std::string(trimmed(fields[columns.label])),
              columns.part ? std::move(fields[*columns.part]) : "", line.number};
  const char* problem = row.path.empty()                            ? "no path"
                        : row.label.empty()                         ? "no label"
                        : row.path.find('\0') != std::string::npos  ? "a zero byte in the path"
                        : row.label.find('\0') != std::string::npos ? "a zero byte in the label"
                                                                    : nullptr;
  if (problem) throw Error(fmt::format("{}: {}", text_of(line), problem), "a row is path,label");
  if (!columns.header && !has_image_extension(row.path) && has_image_extension(row.label))
    throw Error(
        fmt::format("{}: the path is '{}' and the label '{}'", text_of(line), row.path, row.label),
        "a row is path,label; for another order name the columns in the first row: "
        "label,path");
  return row;
}

// The columns by the first row.
Columns require_columns(const Fields& first, const Line& line) {
  constexpr size_t kShown = 20;
  const Columns columns = find_columns(first);
  if (columns.header || first.size() <= 2 ||
      std::any_of(first.begin(), first.end(), has_image_extension))
    return columns;
  const Fields shown(first.begin(), first.begin() + std::min(first.size(), kShown));
  throw Error(fmt::format("{}: {} columns, and their names do not say which are path and label: {}",
                          text_of(line), first.size(), fmt::join(shown, ", ")),
              column_rule());
}

}  // namespace

std::string column_rule() {
  return fmt::format(
      "path is the column called {}; label the one called {}; part, if there is one, the one "
      "called "
      "{}; of several the first in this order",
      fmt::join(kPaths, ", "), fmt::join(kLabels, ", "), fmt::join(kParts, ", "));
}

void each_row(std::string_view text, char delimiter, const std::string& origin,
              const std::function<void(const ListRow&, const ListColumns&)>& visit) {
  FieldReader reader(text, delimiter, origin);
  // Held back until the second row is known: a header of other words ("name,breed") is the only row
  // whose path does not name an image.
  std::optional<ListRow> held;
  int64_t count = 0;
  Columns columns;
  ListColumns names;
  for (bool first = true; !reader.done();) {
    auto fields = reader.next();
    // Excel's "sep=;" says which delimiter follows.
    if (is_empty(fields) || (first && fields.front() == "sep=")) continue;
    const Line line{origin, reader.line()};
    if (std::exchange(first, false)) {
      columns = require_columns(fields, line);
      if (columns.header) {
        names = named(columns, fields);
        continue;
      }
    }
    ListRow row = make_row(std::move(fields), columns, line);
    row.end = reader.position();
    if (++count == 1) {
      held = std::move(row);
      continue;
    }
    const bool other_words = !columns.header && count == 2 && !has_image_extension(held->path) &&
                             has_image_extension(row.path);
    if (held && !other_words) visit(*held, names);
    if (other_words) names = {held->path, held->label, "", false, {}};
    held.reset();
    visit(row, names);
  }
  if (held) visit(*held, names);
}

std::vector<ListRow> parse_list(std::string_view text, char delimiter, const std::string& origin) {
  std::vector<ListRow> rows;
  each_row(text, delimiter, origin,
           [&](const ListRow& row, const ListColumns&) { rows.push_back(row); });
  return rows;
}

char list_delimiter(const std::filesystem::path& path, std::string_view text) {
  constexpr size_t kLongestRow = 64 << 10;
  constexpr std::string_view kDelimiters = ",\t;";
  if (ascii_lower(path.extension().string()) == ".tsv") return '\t';
  text = text.substr(0, kLongestRow);
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (text.starts_with("sep=") && text.size() > 5 && (text[5] == '\r' || text[5] == '\n'))
    return text[4];
  char found = 0;
  for (const char c : kDelimiters) try {
      FieldReader reader(text, c, "");
      Fields fields = reader.next();
      while (is_empty(fields) && !reader.done()) fields = reader.next();
      if (find_columns(fields).header) return c;
      if (fields.size() > 1 && found == 0) found = c;
    } catch (const Error&) {  // its quotes fit another delimiter
    }
  return found == 0 ? ',' : found;
}

}  // namespace nestvit
