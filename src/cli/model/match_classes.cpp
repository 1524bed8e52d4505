// Matches by name, else by order, and reports classes that do not fit.
#include "cli/model/match_classes.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "weights/labels/labels.h"

namespace nestvit::cli {
namespace {

using Names = std::vector<std::string>;

std::string some_of(const Names& names) {
  const Names shown(names.begin(), names.begin() + std::min<ptrdiff_t>(std::ssize(names), 5));
  return fmt::format(
      "{}{}", fmt::join(shown, ", "),
      names.size() > shown.size() ? fmt::format(" and {} more", names.size() - shown.size()) : "");
}

std::string only_in(const std::string& what, const Names& names, const Names& others) {
  const std::set<std::string> known(others.begin(), others.end());
  Names missing;
  std::copy_if(names.begin(), names.end(), std::back_inserter(missing),
               [&](const std::string& name) { return !known.contains(name); });
  return missing.empty() ? "" : fmt::format("; only in {}: {}", what, some_of(missing));
}

}  // namespace

std::vector<int> match_classes(const Dataset& dataset, const LoadedModel& model) {
  const Names& ours = dataset.classes();
  std::vector<int> match(ours.size());
  for (size_t i = 0; i < match.size(); ++i) match[i] = static_cast<int>(i);
  if (ours == model.labels) return match;
  const auto by_name = classes_by_name(ours, model);
  if (!by_name && ours.size() == model.labels.size() &&
      (names_nothing(ours) || names_nothing(model.labels))) {
    log_warning(fmt::format("{} names no classes: they are matched with the {} by their order",
                            names_nothing(ours) ? "the dataset" : "the model",
                            names_nothing(ours) ? "model's" : "dataset's"));
    return match;
  }
  if (!by_name)
    throw Error(
        fmt::format("the dataset has {} classes and {} has {}, and they differ{}{}", ours.size(),
                    model.origin, model.labels.size(), only_in("the dataset", ours, model.labels),
                    only_in("the model", model.labels, ours)),
        "evaluate on data with the model's classes, or name the dataset's classes with --class-map "
        "as the model does");
  log_info(
      ours.size() < model.labels.size()
          ? fmt::format("the dataset has {} of the model's {} classes: they are matched by name",
                        ours.size(), model.labels.size())
          : "the dataset orders its classes differently: they are matched by name");
  return *by_name;
}

}  // namespace nestvit::cli
