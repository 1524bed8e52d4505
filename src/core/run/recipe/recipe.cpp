// Settings over a base.
#include "run/recipe/recipe.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/file.h"
#include "base/system/environment.h"
#include "base/unicode.h"

namespace nestvit {
namespace {

// Marks warmup_epochs that no setting touched: not a number that a user would write.
constexpr double kOpen = std::numeric_limits<double>::lowest();

constexpr uint64_t kMaxBytes = 1 << 20;  // of a recipe's file

}  // namespace

Recipe::Recipe() {
  preprocessing.mean.clear();
  preprocessing.std.clear();
  preprocessing.crop_pct = 0;
  nest = variant(model_name);
}

Settings::Settings(const std::filesystem::path& file, Values over_it)
    : origin(file.string()),
      yaml(file.empty() ? "" : read_text(file, kMaxBytes)),
      values(std::move(over_it)) {}

void make_paths_absolute(Recipe& recipe) {
  for (std::string* path :
       {&recipe.data.dir, &recipe.data.class_map, &recipe.data.labels, &recipe.init_checkpoint}) {
    if (path->empty() || path->find("://") != std::string::npos) continue;
    if (!composed(*path))
      throw UsageError(fmt::format("the path {} is not UTF-8, as config.yaml of a run must be",
                                   printable(*path)),
                       "rename the folder, or link to it under another name");
    const auto home = path->starts_with("~/") ? environment_variable("HOME") : std::nullopt;
    const std::filesystem::path whole =
        home ? std::filesystem::path(*home) / path->substr(2) : std::filesystem::path(*path);
    *path = std::filesystem::absolute(whole).lexically_normal().string();
  }
}

Recipe apply(Recipe base, const Settings& settings) {
  const auto read = [&](Recipe& into) {
    Fields f = fields(into);
    f.load_yaml_text(settings.yaml, settings.origin);
    for (const auto& [key, text] : settings.values) f.set(key, text);
  };
  Recipe seen = base;
  seen.model_name.clear();
  read(seen);
  // The default recipe's network has a variant's name and other sizes: naming it asks for its own.
  const bool same = seen.model_name == base.model_name && !base.init_checkpoint.empty();
  if (!seen.model_name.empty() && !same) {
    const Architecture named = architecture(seen.model_name);
    const NestConfig before =
        std::exchange(base.nest, named.nest() ? *named.nest() : Recipe().nest);
    if (base.init_checkpoint.empty() || named.resnet()) {
      base.input_size = 0;
    } else {  // a name does not say how the weights were trained
      base.nest.image_size = before.image_size;
      base.nest.patch_size = before.patch_size;
      base.nest.in_channels = before.in_channels;
      base.nest.norm_type = before.norm_type;
      base.nest.gelu = before.gelu;
      base.nest.pool_padding = before.pool_padding;
    }
  }
  const double warmup = std::exchange(base.warmup_epochs, kOpen);
  const int epochs = base.num_epochs;
  read(base);
  if (base.warmup_epochs == kOpen)
    base.warmup_epochs =
        base.num_epochs == epochs ? warmup : std::min(warmup, base.num_epochs / 5.0);
  base.nest.variant = base.model_name;
  return base;
}

}  // namespace nestvit
