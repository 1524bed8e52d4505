// A name may be a label or its description, if it means one class only.
#include "weights/labels/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace nestvit {

std::vector<std::string> numbered_labels(int classes) { return class_labels({}, classes); }

bool names_nothing(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] != fmt::format("class {}", i) && names[i] != fmt::format("{}", i)) return false;
  return true;
}

std::vector<std::string> class_labels(std::vector<std::string> names, int classes) {
  for (int k = static_cast<int>(names.size()); k < classes; ++k)
    names.push_back(fmt::format("class {}", k));
  return names;
}

std::vector<int> known_classes(const std::vector<std::string>& names, const ModelContent& model) {
  std::map<std::string, int> index;
  std::set<std::string> ambiguous;
  const auto add = [&](const std::string& name, int k) {
    const auto [entry, fresh] = index.emplace(name, k);
    if (!fresh && entry->second != k) ambiguous.insert(name);
  };
  for (int k = 0; k < std::ssize(model.labels); ++k) {
    add(model.labels[k], k);
    const auto text = model.descriptions.find(model.labels[k]);
    if (text != model.descriptions.end()) add(text->second, k);
  }
  std::vector<int> classes;
  for (const std::string& name : names) {
    const auto found = index.find(name);
    const bool known = found != index.end() && !ambiguous.contains(name);
    classes.push_back(known ? found->second : -1);
  }
  return classes;
}

std::optional<std::vector<int>> classes_by_name(const std::vector<std::string>& names,
                                                const ModelContent& model) {
  std::vector<int> classes = known_classes(names, model);
  if (std::find(classes.begin(), classes.end(), -1) != classes.end()) return std::nullopt;
  return classes;
}

std::vector<std::string> names_in_model(std::vector<std::string> names, const ModelContent& model) {
  const std::vector<int> known = known_classes(names, model);
  const bool unknown = std::find(known.begin(), known.end(), -1) != known.end();
  if (unknown && names.size() == model.labels.size() &&
      (names_nothing(names) || names_nothing(model.labels)))
    return model.labels;
  for (size_t i = 0; i < names.size(); ++i)
    if (known[i] >= 0) names[i] = model.labels[known[i]];
  return names;
}

}  // namespace nestvit
