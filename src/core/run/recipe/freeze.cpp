// Frozen names and shares of the learning rate, both read from the parameter table.
#include "run/recipe/freeze.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

namespace nestvit {
namespace {

constexpr const char* kBackbone = "backbone";

bool begins(const std::string& name, const std::string& part) {
  return name.starts_with(part) && (name.size() == part.size() || name[part.size()] == '.');
}

}  // namespace

bool frozen(const std::string& name, const std::vector<std::string>& freeze) {
  return std::any_of(freeze.begin(), freeze.end(), [&](const std::string& entry) {
    return entry == kBackbone ? !is_head(name + ".") : begins(name, entry);
  });
}

void check_freeze(const std::vector<std::string>& freeze, const Architecture& model) {
  const std::vector<Param> table = parameter_table(model);
  for (const std::string& entry : freeze)
    if (entry != kBackbone && std::none_of(table.begin(), table.end(), [&](const Param& param) {
          return begins(param.name, entry);
        }))
      throw UsageError(
          fmt::format("freeze: no parameter's name begins with \"{}\"", entry),
          fmt::format("{}; backbone is all but the head",
                      model.nest()
                          ? fmt::format("levels go by patch_embed, levels.0 to levels.{}, norm",
                                        model.nest()->num_layers_per_block.size() - 1)
                          : "stages go by conv1, bn1, layer1 to layer4"));
  if (std::all_of(table.begin(), table.end(),
                  [&](const Param& param) { return param.buffer || frozen(param.name, freeze); }))
    throw UsageError("freeze leaves nothing to train", "leave the head out of it");
}

double learning_rate_share(const Param& param, int head_layer, double layer_decay) {
  return std::pow(layer_decay, head_layer - param.layer);
}

}  // namespace nestvit
