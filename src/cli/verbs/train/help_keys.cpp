// From the recipe's field list to a page.
#include "cli/verbs/train/help_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "cli/program/options.h"
#include "cli/verbs/train/train_flags.h"
#include "run/recipe/recipe.h"

namespace nestvit::cli {
namespace {

constexpr const char* kIntroduction = R"(# Recipe keys

This page is what `nestvit train --help-keys` prints:

    nestvit train --help-keys > docs/recipe-keys.md

A recipe is a YAML file with these keys, nested by their dots: `nestvit train --config FILE`. Any of
them can be set as `--config.KEY=VALUE`; some have a flag of their own, which is given here. The
defaults are those of a recipe that comes with `--config`. Without it a recipe is chosen by the
number and size of the images: [training](training.md) has the table.
)";

const char* type_name(const bool*) { return "true or false"; }
const char* type_name(const int*) { return "integer"; }
const char* type_name(const int64_t*) { return "integer"; }
const char* type_name(const double*) { return "number"; }
const char* type_name(const std::string*) { return "word"; }
const char* type_name(const std::vector<int>*) { return "list of integers"; }
const char* type_name(const std::vector<double>*) { return "list of numbers"; }
const char* type_name(const std::vector<std::string>*) { return "list of words"; }
template <class T>
const char* type_name(const std::optional<T>*) {
  return type_name(static_cast<const T*>(nullptr));
}
std::string type_name(const Choice& choice) {
  return choice.names.empty() ? "word" : fmt::format("{}", fmt::join(choice.names, ", "));
}

std::string type_of(const Field& field) {
  return std::visit([](const auto& value) -> std::string { return type_name(value); }, field.value);
}

// Whether the variants of NesT agree on `key`.
bool same_in_every_variant(const std::string& key) {
  const auto value_in = [&key](const std::string& name) {
    Recipe recipe;
    recipe.nest = variant(name);
    return fields(recipe).get(key);
  };
  const std::vector<std::string>& names = variant_names();
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return value_in(name) == value_in(names.front());
  });
}

std::string default_of(const Fields& keys, const std::string& key) {
  if (key.starts_with("nest.") && !same_in_every_variant(key)) return "the variant's";
  const std::string value = keys.get(key);
  return value == "\"\"" ? "empty" : value;
}

// "mix" of "mix.smoothing".
std::string group_of(const std::string& key) { return key.substr(0, key.find('.')); }

}  // namespace

std::string recipe_keys_page() {
  Recipe recipe;
  const Fields keys = fields(recipe);
  std::string page = kIntroduction;
  std::string group;
  for (const Field& field : keys.list()) {
    const bool nested = field.key.find('.') != std::string::npos;
    const std::string title = nested ? group_of(field.key) + ".*" : "The run";
    if (title != group) page += fmt::format("\n## {}\n\n", group = title);
    const std::string flags = flags_of_key(field.key);
    page += "- " +
            wrapped(fmt::format("`{}` ({}; default {}{}): {}", field.key, type_of(field),
                                default_of(keys, field.key),
                                flags.empty() ? "" : "; `" + flags + "`", field.help),
                    kColumns, 2) +
            "\n";
  }
  return page;
}

}  // namespace nestvit::cli
