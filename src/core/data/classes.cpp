// Natural order of class names, and the class map file.
#include "data/classes.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/file.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/names.h"

namespace nestvit {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The longest run from `at` of digits, or of other characters.
std::string_view run(std::string_view text, size_t at, bool digits) {
  size_t end = at;
  while (end < text.size() && is_digit(text[end]) == digits) ++end;
  return text.substr(at, end - at);
}

int compare_numbers(std::string_view a, std::string_view b) {
  while (a.size() > 1 && a.front() == '0') a.remove_prefix(1);
  while (b.size() > 1 && b.front() == '0') b.remove_prefix(1);
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

int compare_texts(std::string_view a, std::string_view b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const auto x = static_cast<unsigned char>(ascii_lower(a[i])),
               y = static_cast<unsigned char>(ascii_lower(b[i]));
    if (x != y) return x < y ? -1 : 1;
  }
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

constexpr std::string_view kBlank = " \t\r\f\v";

// The lines of a class map without blanks around them.
std::vector<std::string> class_lines(const std::string& text, const std::string& origin) {
  std::vector<std::string> lines;
  for (size_t at = 0, line = 1, empty_line = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string name(trimmed(std::string_view(text).substr(at, end - at)));
    at = end + 1;
    if (name.empty()) {
      if (!empty_line) empty_line = line;
      continue;
    }
    if (empty_line)
      throw Error(fmt::format("class map {}: line {} is empty", origin, empty_line),
                  "the line number is the class index: write one name per line without gaps");
    if (lines.size() == kMaxClasses)
      throw Error(fmt::format("class map {}: more than {} lines", origin, kMaxClasses),
                  "is this the right file?");
    auto form = composed(name);
    if (!form)
      throw Error(
          fmt::format("class map {}: line {}, '{}', is not UTF-8", origin, line, printable(name)),
          "convert the file: iconv -f latin1 -t utf-8 FILE > NEW");
    lines.push_back(std::move(*form));
  }
  if (lines.empty())
    throw Error(fmt::format("class map {} is empty", origin), "write one class name per line");
  return lines;
}

void require_unique(const std::vector<std::string>& names, const std::string& origin) {
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < names.size(); ++i)
    if (auto [it, fresh] = seen.emplace(names[i], i); !fresh)
      throw Error(fmt::format("class map {}: '{}' is on line {} and again on line {}", origin,
                              names[i], it->second + 1, i + 1),
                  "every class has one line");
}

// "n01440764 tench": an id, blank, text.
bool has_synset(const std::string& line) {
  const size_t end = line.find_first_of(kBlank);
  return end != std::string::npos && is_synset(std::string_view(line).substr(0, end));
}

ClassMap split_synsets(const std::vector<std::string>& lines, const std::string& origin) {
  ClassMap map;
  std::unordered_map<std::string, int> uses;
  for (const std::string& line : lines) {
    const size_t end = line.find_first_of(kBlank);
    map.keys.push_back(line.substr(0, end));
    std::string name = line.substr(line.find_first_not_of(kBlank, end));
    if (const size_t comma = name.find(','); comma != std::string::npos && comma > 0)
      name.resize(comma);
    ++uses[name];
    map.names.push_back(std::move(name));
  }
  require_unique(map.keys, origin);
  // ImageNet has two "crane" and two "maillot"; a name must say which class it is.
  for (size_t i = 0; i < lines.size(); ++i)
    if (uses[map.names[i]] > 1) map.names[i] += fmt::format(" ({})", map.keys[i]);
  return map;
}

}  // namespace

bool natural_less(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  // As timm's key, a list that alternates text and number: whole runs compare, not characters.
  for (bool digits = false; i < a.size() && j < b.size(); digits = !digits) {
    const auto x = run(a, i, digits), y = run(b, j, digits);
    if (int order = digits ? compare_numbers(x, y) : compare_texts(x, y)) return order < 0;
    i += x.size();
    j += y.size();
  }
  if ((i < a.size()) != (j < b.size())) return j < b.size();
  return a < b;
}

void sort_classes(std::vector<std::string>& names, ClassOrder order) {
  if (order == ClassOrder::kNatural)
    std::sort(names.begin(), names.end(), natural_less);
  else
    std::sort(names.begin(), names.end());
}

bool is_synset(std::string_view word) {
  return word.size() == 9 && word.front() == 'n' &&
         std::all_of(word.begin() + 1, word.end(), is_digit);
}

ClassMap parse_class_map(const std::string& text, const std::string& origin) {
  auto lines = class_lines(text, origin);
  if (std::all_of(lines.begin(), lines.end(), has_synset)) return split_synsets(lines, origin);
  require_unique(lines, origin);
  return {lines, lines};
}

ClassMap read_class_map(const std::filesystem::path& path) {
  return parse_class_map(read_text(path), path.string());
}

std::vector<std::string> numbered_classes(int count, const std::string& prefix) {
  std::vector<std::string> names;
  names.reserve(count);
  for (int i = 0; i < count; ++i) names.push_back(prefix + std::to_string(i));
  return names;
}

std::vector<std::string> class_names(const DatasetOptions& options, int count,
                                     std::vector<std::string> usual) {
  if (options.class_map.empty()) return usual;
  auto names = read_class_map(options.class_map).names;
  if (static_cast<int>(names.size()) < count)
    throw Error(fmt::format("class map {} has {} lines, but {} has {} classes",
                            options.class_map.string(), names.size(), options.root.string(), count),
                "write one name per class, in the order of the labels");
  return names;
}

void require_two_classes(const std::vector<std::string>& classes, const std::string& where,
                         const std::string& hint) {
  if (classes.size() >= 2) return;
  throw Error(classes.empty() ? fmt::format("{}: no classes", where)
                              : fmt::format("{}: only one class, '{}'; at least two are needed",
                                            where, classes[0]),
              hint);
}

}  // namespace nestvit
