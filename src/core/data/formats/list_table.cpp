// Reads rows once, in a pass that gives back the memory of what it has read.
#include "data/formats/list_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/formats/list_rows.h"

namespace nestvit {
namespace {

std::optional<Split> find_part(const std::string& word, bool is_flag) {
  const std::string lower = ascii_lower(word);
  if (!is_flag) return find_split_named(lower);
  if (lower == "true" || lower == "1" || lower == "yes") return Split::kVal;
  if (lower == "false" || lower == "0" || lower == "no") return Split::kTrain;
  return std::nullopt;
}

// The parts of the rows while a list is read. Only all rows together tell whether their column
// holds parts: "fold" may hold numbers.
class PartColumn {
 public:
  void add(const ListRow& row, bool is_flag) {
    if (parts_.empty() || row.part != last_) {
      last_ = row.part;
      last_part_ = find_part(row.part, is_flag);
    }
    if (last_part_) {
      int64_t& line = lines_[static_cast<size_t>(*last_part_)];
      if (line == 0) line = row.line;
    } else if (!other_) {
      other_ = {row.part, row.line};
    }
    parts_.push_back(last_part_.value_or(Split::kTrain));
  }

  void finish(const ListColumns& columns, const std::string& origin, ListTable& list) {
    if (columns.part.empty()) return;
    const bool any =
        std::any_of(lines_.begin(), lines_.end(), [](int64_t line) { return line > 0; });
    std::vector<std::string> words;
    for (const Split part : {Split::kTrain, Split::kVal, Split::kTest})
      words.insert(words.end(), split_names(part).begin(), split_names(part).end());
    const std::string expected =
        columns.part_is_flag ? "true or false" : fmt::format("{}", fmt::join(words, ", "));
    if (any && other_)
      throw Error(
          fmt::format("{} line {}: '{}' in the column '{}' names no part", origin, other_->second,
                      other_->first, columns.part),
          fmt::format("expected {}; call the column otherwise if it does not divide the list",
                      expected));
    if (!any) {
      list.not_read.push_back(
          {fmt::format("{}: the column '{}' is not read: it holds '{}', which is none of {}",
                       origin, columns.part, other_->first, expected)});
      return;
    }
    list.parts = std::move(parts_);
    list.part_lines = lines_;
    list.part_column = columns.part;
  }

 private:
  std::vector<Split> parts_;
  std::array<int64_t, 3> lines_{};
  std::string last_;
  std::optional<Split> last_part_;  // what last_ means
  std::optional<std::pair<std::string, int64_t>> other_;
};

// The labels while a list is read. Those that differ only in their Unicode form are one.
class Labels {
 public:
  explicit Labels(const std::string& origin) : origin_(origin) {}

  // Its place in list.texts.
  int add(const ListRow& row, ListTable& list) {
    const auto [spelling, fresh] = spellings_.emplace(row.label, 0);
    if (!fresh) return spelling->second;
    const auto form = composed(row.label);
    if (!form)
      throw Error(fmt::format("{} line {}: the label '{}' is not UTF-8", origin_, row.line,
                              printable(row.label.substr(0, 80))),
                  "save the list as UTF-8, for instance by iconv -f latin1 -t utf-8");
    const auto [known, first] = forms_.emplace(*form, static_cast<int>(list.texts.size()));
    if (first)
      list.texts.push_back({*form, row.line});
    else if (!said_ && (said_ = true))
      list.not_read.push_back(
          {fmt::format("{}: labels in different Unicode forms are one class, "
                       "for instance '{}' (line {})",
                       origin_, *form, row.line)});
    return spelling->second = known->second;
  }

 private:
  const std::string& origin_;
  std::unordered_map<std::string, int> spellings_, forms_;
  bool said_ = false;
};

void say_columns(const ListColumns& columns, const std::string& origin, ListTable& list) {
  constexpr size_t kShown = 12;
  const auto& rest = columns.rest;
  if (rest.empty()) return;
  const std::vector<std::string> shown(rest.begin(), rest.begin() + std::min(rest.size(), kShown));
  list.not_read.push_back(
      {fmt::format("{}: columns that are not read: {}{} (path is '{}', label is '{}'{})", origin,
                   fmt::join(shown, ", "),
                   rest.size() > kShown ? fmt::format(" and {} more", rest.size() - kShown) : "",
                   columns.path, columns.label,
                   list.parts.empty() ? "" : fmt::format(", part is '{}'", list.part_column)),
       /*expected=*/true});
}

}  // namespace

ListTable read_list(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  const std::string origin = path.string();
  // The memory of the part that was read is given back each time it has this many bytes.
  constexpr size_t kRead = 64 << 20;
  size_t forgotten = 0;
  ListTable list;
  ListColumns columns;
  PartColumn parts;
  Labels labels(origin);
  each_row(text, list_delimiter(path, text), origin,
           [&](const ListRow& row, const ListColumns& its_columns) {
             if (list.labels.empty()) {
               list.line = row.line;
               columns = its_columns;
             }
             list.labels.push_back(labels.add(row, list));
             list.paths.add(row.path);
             if (!columns.part.empty()) parts.add(row, columns.part_is_flag);
             if (row.end - forgotten > kRead) {
               file->forget(file->bytes().subspan(forgotten, row.end - forgotten));
               forgotten = row.end;
             }
           });
  if (list.labels.empty()) throw Error(origin + ": no rows", "write one row per image: path,label");
  parts.finish(columns, origin, list);
  say_columns(columns, origin, list);
  return list;
}

ListTable part_of(const ListTable& list, Split part) {
  ListTable own;
  std::vector<int64_t> rows;
  std::vector<int> new_label(list.texts.size(), -1);
  for (size_t i = 0; i < list.parts.size(); ++i) {
    if (list.parts[i] != part) continue;
    rows.push_back(static_cast<int64_t>(i));
    int& label = new_label[list.labels[i]];
    if (label < 0) {
      label = static_cast<int>(own.texts.size());
      own.texts.push_back(list.texts[list.labels[i]]);
    }
    own.labels.push_back(label);
  }
  own.paths = list.paths.part(rows);
  own.line = list.part_lines[static_cast<size_t>(part)];
  own.not_read = list.not_read;
  return own;
}

std::vector<ListTable::Label> training_labels(const ListTable& list) {
  if (!list.has(Split::kTrain)) return list.texts;
  std::vector<bool> trained(list.texts.size());
  for (size_t i = 0; i < list.parts.size(); ++i)
    if (list.parts[i] == Split::kTrain) trained[list.labels[i]] = true;
  std::vector<ListTable::Label> labels;
  for (size_t k = 0; k < trained.size(); ++k)
    if (trained[k]) labels.push_back(list.texts[k]);
  return labels;
}

}  // namespace nestvit
