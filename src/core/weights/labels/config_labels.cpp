// Every form is read into a map from class to name; the first key that names classes is taken.
#include "weights/labels/config_labels.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <map>
#include <optional>

#include "weights/files/config_values.h"
#include "weights/labels/labels.h"

namespace nestvit {
namespace {

using namespace config_values;
using nlohmann::json;

struct Names {
  std::string key;
  std::map<int, std::string> of;
  bool whole_list = false;  // every class has its place in it
};

int class_number(const std::string& text, const std::string& key) {
  const bool digits =
      !text.empty() && text.size() < 8 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits)
    throw Error(fmt::format("\"{}\" names class \"{}\", expected a number from 0", key,
                            text.substr(0, 40)));
  return whole(std::stoi(text), key);
}

// A class's name: a text, or the number that people call a digit by; "" for null.
std::string class_name(const json& value, const std::string& key) {
  if (value.is_null()) return "";
  return value.is_number_integer() ? value.dump() : word(value, key);
}

Names read_names(const json& value, const std::string& key) {
  Names names{key, {}};
  const bool by_name = key == "label2id";
  if (value.is_array() && !by_name) {
    names.whole_list = true;
    for (const json& name : value)
      names.of.emplace(static_cast<int>(names.of.size()), class_name(name, key));
  } else if (value.is_object()) {
    for (const auto& [left, right] : value.items()) {
      const std::string number = !by_name ? left : right.is_string() ? word(right, key) : "";
      const int k = by_name && number.empty() ? whole(right, key) : class_number(number, key);
      if (!names.of.emplace(k, by_name ? left : class_name(right, key)).second)
        throw Error(fmt::format("\"{}\" names class {} twice", key, k));
    }
  } else {
    wrong(key, value, by_name ? "an object of names and numbers" : "a list of names");
  }
  return names;
}

// "LABEL_0", "LABEL_1": what transformers writes when it was told no names.
bool says_nothing(const Names& names) {
  return std::ranges::all_of(names.of, [](const auto& name) {
    return name.second == fmt::format("LABEL_{}", name.first);
  });
}

std::optional<Names> find_names(const json& root, const json& pretrained) {
  for (const char* key : {"label_names", "labels", "id2label", "label2id"})
    for (const json* holder : {&root, &pretrained})
      if (const json* value = find(*holder, key))
        if (Names names = read_names(*value, key); !says_nothing(names)) return names;
  return std::nullopt;
}

}  // namespace

int classes_named(const json& root, const json& pretrained) {
  const auto names = find_names(root, pretrained);
  return names ? names->of.rbegin()->first + 1 : 0;
}

void read_labels(const json& root, const json& pretrained, int classes, ModelContent& model) {
  model.labels = numbered_labels(classes);
  if (const auto names = find_names(root, pretrained)) {
    const int last = names->of.rbegin()->first;
    if (names->whole_list && last + 1 != classes)
      throw Error(
          fmt::format("\"{}\" has {} entries for {} classes", names->key, last + 1, classes));
    if (last >= classes)
      throw Error(
          fmt::format("\"{}\" names class {}, expected 0 to {}", names->key, last, classes - 1));
    for (const auto& [k, name] : names->of)
      if (!name.empty()) model.labels[static_cast<size_t>(k)] = name;
  }
  for (const json* holder : {&pretrained, &root})
    if (const json* texts = find(*holder, "label_descriptions")) {
      if (!texts->is_object()) wrong("label_descriptions", *texts, "an object of texts");
      for (const auto& [key, text] : texts->items())
        model.descriptions[key] = word(text, "label_descriptions");
    }
}

}  // namespace nestvit
