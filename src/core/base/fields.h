// One list of fields per configuration struct serves YAML, --config.key=value, printing, help and
// the "did you mean" of unknown keys. A struct offers `Fields fields(Struct&)`, in the order that
// is printed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace nestvit {

// An enumeration that configuration files spell by name.
struct Choice {
  std::function<std::string()> get;
  std::function<void(const std::string&)> set;  // gets one of `names`
  std::vector<std::string> names;
};

using FieldValue =
    std::variant<bool*, int*, int64_t*, double*, std::string*, std::optional<int>*,
                 std::optional<double>*, std::optional<std::string>*, std::vector<int>*,
                 std::vector<double>*, std::vector<std::string>*, Choice>;

struct Field {
  std::string key;  // "nest.patch_size"
  FieldValue value;
  std::string help;
};

class Fields {
 public:
  Fields& add(std::string key, FieldValue value, std::string help);
  Fields& add(const std::string& prefix, Fields nested);  // keys become "prefix.key"

  // An enumeration with a table {{Enum::kA, "a"}, ...}.
  template <class E>
  Fields& choice(std::string key, E* value, std::vector<std::pair<E, std::string>> names,
                 std::string help);

  const std::vector<Field>& list() const { return list_; }

  // Parses `text` (YAML syntax: 3, 0.1, true, null, [1, 2], word) by the field's type.
  // Throws UsageError: unknown key (names the nearest), wrong type (names the expected one).
  void set(const std::string& key, const std::string& text);
  // Every key of a YAML mapping, nested ones by dotted path. `origin` is named in errors.
  void load_yaml_text(const std::string& text, const std::string& origin);
  std::string to_yaml() const;
  std::string get(const std::string& key) const;
  bool has(const std::string& key) const;
  std::vector<std::string> keys() const;

 private:
  const Field& find(const std::string& key, const std::string& origin) const;
  std::vector<Field> list_;
};

// The entry of `known` that `word` is likely to be a typing error of, or "" when none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

template <class E>
Fields& Fields::choice(std::string key, E* value, std::vector<std::pair<E, std::string>> names,
                       std::string help) {
  Choice choice;
  for (const auto& [_, name] : names) choice.names.push_back(name);
  choice.get = [value, names] {
    for (const auto& [e, name] : names)
      if (e == *value) return name;
    return std::string("?");
  };
  choice.set = [value, names](const std::string& text) {
    for (const auto& [e, name] : names)
      if (name == text) *value = e;
  };
  return add(std::move(key), std::move(choice), std::move(help));
}

}  // namespace nestvit
