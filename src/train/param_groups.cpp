// Frozen names and timm's layer numbers, both read from the parameter table.
#include "train/param_groups.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace nestvit::train {
namespace {

constexpr const char* kBackbone = "backbone";
constexpr std::string_view kEncoder = ".transformer_encoder.";

bool begins(const std::string& name, const std::string& part) {
  return name.starts_with(part) && (name.size() == part.size() || name[part.size()] == '.');
}

// The number of the encoder layer inside its level; 0 for pooling and position embedding.
int layer_in_level(const std::string& name) {
  const size_t at = name.find(kEncoder);
  int number = 0;
  if (at != std::string::npos)
    std::from_chars(name.data() + at + kEncoder.size(), name.data() + name.size(), number);
  return number;
}

}  // namespace

bool frozen(const std::string& name, const std::vector<std::string>& freeze) {
  return std::any_of(freeze.begin(), freeze.end(), [&](const std::string& entry) {
    return entry == kBackbone ? !begins(name, "head") : begins(name, entry);
  });
}

void check_freeze(const std::vector<std::string>& freeze, const NestConfig& model) {
  const std::vector<Param> table = parameter_table(model);
  for (const std::string& entry : freeze)
    if (entry != kBackbone && std::none_of(table.begin(), table.end(), [&](const Param& param) {
          return begins(param.name, entry);
        }))
      throw UsageError(
          fmt::format("freeze: no parameter's name begins with \"{}\"", entry),
          fmt::format("levels go by patch_embed, levels.0 to levels.{}, norm; backbone is all but "
                      "the head; \"nestvit inspect\" lists every name",
                      model.num_layers_per_block.size() - 1));
  if (std::all_of(table.begin(), table.end(),
                  [&](const Param& param) { return param.buffer || frozen(param.name, freeze); }))
    throw UsageError("freeze leaves nothing to train", "leave the head out of it");
}

int layer_of(const Param& param, const NestConfig& model) {
  const std::vector<Level> levels = geometry(model);
  if (param.level < 0) return 0;
  if (param.level < std::ssize(levels))
    return 1 + levels[param.level].first_layer + layer_in_level(param.name);
  return total_depth(model) + (begins(param.name, "head") ? 1 : 0);
}

double learning_rate_share(const Param& param, const NestConfig& model, double layer_decay) {
  return std::pow(layer_decay, total_depth(model) + 1 - layer_of(param, model));
}

}  // namespace nestvit::train
