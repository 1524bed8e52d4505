// A name may be a label or its description, if it means one class only.
#include "weights/labels/labels.h"

#include <fmt/format.h>

#include <map>
#include <set>

namespace nestvit {

std::vector<std::string> numbered_labels(int classes) {
  std::vector<std::string> labels;
  for (int k = 0; k < classes; ++k) labels.push_back(fmt::format("class {}", k));
  return labels;
}

std::optional<std::vector<int>> classes_by_name(const std::vector<std::string>& names,
                                                const ModelContent& model) {
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
    if (found == index.end() || ambiguous.contains(name)) return std::nullopt;
    classes.push_back(found->second);
  }
  return classes;
}

}  // namespace nestvit
