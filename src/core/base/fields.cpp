// Fields to and from YAML (yaml-cpp), and the nearest known word.
#include "base/fields.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "base/unicode.h"

namespace nestvit {
namespace {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
const char* type_name() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t>) return "a whole number";
  if constexpr (std::is_same_v<T, double>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "a word";
  return "a value";
}

[[noreturn]] void wrong_type(const std::string& key, const std::string& got,
                             const std::string& expected, const std::string& origin) {
  throw UsageError(fmt::format("{}{} is {}; expected {}", origin.empty() ? "" : origin + ": ", key,
                               got, expected));
}

std::string node_text(const YAML::Node& node) {
  YAML::Emitter out;
  out << YAML::Flow << node;
  return out.c_str();
}

template <class T>
T scalar(const YAML::Node& node, const std::string& key, const std::string& origin) {
  T value{};
  const bool plain = node.IsScalar();
  if constexpr (std::is_same_v<T, std::string>) {
    if (plain) return node.Scalar();
    if (node.IsNull()) return "";
  } else if (plain && YAML::convert<T>::decode(node, value)) {
    if constexpr (std::is_same_v<T, double>) {
      if (!std::isfinite(value)) wrong_type(key, node_text(node), "a number", origin);
    }
    return value;
  }
  if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t>) {
    // People write whole numbers as 1e6 and 192.0, too.
    double number = 0;
    if (plain && YAML::convert<double>::decode(node, number) && number == std::floor(number) &&
        std::abs(number) < (std::is_same_v<T, int> ? 2147483647.0 : 9e15))
      return static_cast<T>(number);
  }
  wrong_type(key, node_text(node), type_name<T>(), origin);
}

void assign(const Field& field, const YAML::Node& node, const std::string& origin) {
  std::visit(
      [&](auto& target) {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, Choice>) {
          const auto text = scalar<std::string>(node, field.key, origin);
          if (!target.names.empty() &&
              std::find(target.names.begin(), target.names.end(), text) == target.names.end()) {
            std::string all;
            for (const auto& name : target.names) all += (all.empty() ? "" : ", ") + name;
            wrong_type(field.key, '"' + text + '"', "one of " + all, origin);
          }
          target.set(text);
        } else {
          using T = std::remove_pointer_t<Target>;
          if constexpr (IsOptional<T>::value) {
            if (node.IsNull()) {
              target->reset();
            } else {
              *target = scalar<typename T::value_type>(node, field.key, origin);
            }
          } else if constexpr (IsVector<T>::value) {
            using E = typename T::value_type;
            if (!node.IsSequence())
              wrong_type(field.key, node_text(node),
                         fmt::format("a list, each entry {}", type_name<E>()), origin);
            T values;
            for (const auto& entry : node) values.push_back(scalar<E>(entry, field.key, origin));
            *target = std::move(values);
          } else {
            *target = scalar<T>(node, field.key, origin);
          }
        }
      },
      const_cast<FieldValue&>(field.value));
}

// The shortest text that reads back as the same number.
std::string number_text(double value) { return fmt::format("{}", value); }

// Quoted when YAML would read the word as something else.
std::string word_text(const std::string& word) {
  YAML::Emitter out;
  const bool ambiguous = word.empty() || word == "null" || word == "~" || word == "true" ||
                         word == "false" ||
                         word.find_first_not_of("+-.0123456789eE") == std::string::npos;
  if (ambiguous) out << YAML::DoubleQuoted;
  out << word;
  return out.c_str();
}

// Inside [a, b], where YAML ends a plain word at these.
std::string entry_text(const std::string& word) {
  const bool ends = word.find_first_of(",[]{}") != std::string::npos;
  YAML::Emitter out;
  if (ends) out << YAML::DoubleQuoted << word;
  return ends ? out.c_str() : word_text(word);
}

template <class T>
std::string value_text(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, double>) {
    return number_text(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return word_text(value);
  } else {
    return fmt::format("{}", value);
  }
}

std::string field_text(const Field& field) {
  return std::visit(
      [](const auto& target) -> std::string {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, Choice>) {
          return word_text(target.get());
        } else {
          using T = std::remove_pointer_t<Target>;
          if constexpr (IsOptional<T>::value) {
            return *target ? value_text(**target) : "null";
          } else if constexpr (IsVector<T>::value) {
            std::string text;
            for (const auto& entry : *target) {
              text += text.empty() ? "" : ", ";
              if constexpr (std::is_same_v<T, std::vector<std::string>>)
                text += entry_text(entry);
              else
                text += value_text(entry);
            }
            return "[" + text + "]";
          } else {
            return value_text(*target);
          }
        }
      },
      field.value);
}

YAML::Node parse(const std::string& text, const std::string& origin) {
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& e) {
    throw UsageError(fmt::format("{} is not valid YAML: {}", origin, e.what()));
  }
}

// The code points of UTF-8 without the case of ASCII, so that every letter counts as one. Bytes
// that are no UTF-8 stand for themselves.
std::u32string letters(std::string_view text) {
  std::u32string points;
  for_each_letter(text, [&](std::string_view bytes, int32_t letter) {
    points += letter < 0x80 ? static_cast<unsigned char>(ascii_lower(bytes.front()))
                            : static_cast<char32_t>(letter);
  });
  return points;
}

bool is_number(const std::u32string& word) {
  return std::all_of(word.begin(), word.end(), [](char32_t c) { return c >= '0' && c <= '9'; });
}

// How many letters must be changed, added, dropped or swapped with the next to make `b` of `a`;
// nothing when more than a third of the longer one must. A number is no typing error of another.
std::optional<size_t> edits_if_near(const std::u32string& a, const std::u32string& b) {
  constexpr size_t kLongest = 256;  // a hostile word costs no more than this squared
  const auto [shorter, longer] = std::minmax({a.size(), b.size()});
  const size_t most = longer / 3;
  if (longer > kLongest || longer - shorter > most || (a != b && is_number(a) && is_number(b)))
    return std::nullopt;
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back() <= most ? std::optional(row.back()) : std::nullopt;
}

}  // namespace

Fields& Fields::add(std::string key, FieldValue value, std::string help) {
  list_.push_back({std::move(key), std::move(value), std::move(help)});
  return *this;
}

Fields& Fields::add(const std::string& prefix, Fields nested) {
  for (Field& field : nested.list_) {
    field.key = prefix + "." + field.key;
    list_.push_back(std::move(field));
  }
  return *this;
}

const Field& Fields::find(const std::string& key, const std::string& origin) const {
  for (const Field& field : list_)
    if (field.key == key) return field;
  const std::string close = nearest(key, keys());
  throw UsageError(fmt::format("{}unknown key \"{}\"", origin.empty() ? "" : origin + ": ", key),
                   close.empty() ? "" : fmt::format("did you mean \"{}\"?", close));
}

bool Fields::has(const std::string& key) const {
  return std::any_of(list_.begin(), list_.end(),
                     [&](const Field& field) { return field.key == key; });
}

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> names;
  for (const Field& field : list_) names.push_back(field.key);
  return names;
}

void Fields::set(const std::string& key, const std::string& text) {
  const Field& field = find(key, "");
  assign(field, parse(text, key), "");
}

std::string Fields::get(const std::string& key) const { return field_text(find(key, "")); }

void Fields::load_yaml_text(const std::string& text, const std::string& origin) {
  const YAML::Node root = parse(text, origin);
  if (root.IsNull()) return;
  if (!root.IsMap()) throw UsageError(fmt::format("{} is not a mapping of keys to values", origin));
  int deepest = 0;  // of the keys: aliases cannot make the walk longer
  for (const Field& field : list_)
    deepest =
        std::max(deepest, static_cast<int>(std::count(field.key.begin(), field.key.end(), '.')));
  const std::function<void(const YAML::Node&, const std::string&, int)> walk =
      [&](const YAML::Node& map, const std::string& prefix, int depth) {
        for (const auto& entry : map) {
          if (!entry.first.IsScalar())
            throw UsageError(fmt::format("{}: a key must be a word", origin));
          const std::string key = prefix + entry.first.Scalar();
          if (entry.second.IsMap() && depth < deepest) {
            walk(entry.second, key + ".", depth + 1);
          } else {
            assign(find(key, origin), entry.second, origin);
          }
        }
      };
  walk(root, "", 0);
}

std::string Fields::to_yaml() const {
  std::string text;
  std::string scope;  // the prefix that the lines are nested under, "nest" or "a.b"
  for (const Field& field : list_) {
    const size_t dot = field.key.rfind('.');
    const std::string prefix = dot == std::string::npos ? "" : field.key.substr(0, dot);
    const auto depth = static_cast<size_t>(std::count(field.key.begin(), field.key.end(), '.'));
    if (prefix != scope && !prefix.empty()) {
      size_t start = 0;  // open every part of the prefix that is not open yet
      for (size_t level = 0; level < depth; ++level) {
        const size_t end = std::min(prefix.find('.', start), prefix.size());
        const std::string open = prefix.substr(0, end);
        if (scope != open && scope.rfind(open + ".", 0) != 0)
          text += std::string(2 * level, ' ') + prefix.substr(start, end - start) + ":\n";
        start = end + 1;
      }
    }
    scope = prefix;
    text += std::string(2 * depth, ' ') + field.key.substr(dot == std::string::npos ? 0 : dot + 1) +
            ": " + field_text(field) + "\n";
  }
  return text;
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const std::u32string wanted = letters(word);
  std::string best;
  size_t best_distance = SIZE_MAX;
  const auto try_spelling = [&](const std::string& candidate, size_t from, size_t handicap) {
    const std::u32string spelling = letters(std::string_view(candidate).substr(from));
    const auto edits = edits_if_near(wanted, spelling);
    if (edits && *edits + handicap < best_distance) {
      best_distance = *edits + handicap;
      best = candidate;
    }
  };
  for (const std::string& candidate : known) {
    try_spelling(candidate, 0, 0);
    // A key is often typed without its prefix: compare the last part, too.
    if (const size_t dot = candidate.rfind('.'); dot != std::string::npos)
      try_spelling(candidate, dot + 1, 1);
  }
  return best;
}

}  // namespace nestvit
