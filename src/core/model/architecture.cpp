// Passes each question on to the network that it is.
#include "model/architecture.h"

#include <fmt/format.h>

#include <algorithm>

namespace nestvit {
namespace {

std::string text_of(const NestConfig& config) {
  std::string text;
  for (const Level& level : geometry(config))
    text += fmt::format("{}{} x {} tokens of {} channels, {} layer{}", text.empty() ? "" : "; ",
                        level.blocks, level.tokens, level.width, level.depth,
                        level.depth == 1 ? "" : "s");
  return text;
}

std::string text_of(const ResNetConfig& config) {
  std::string text;
  for (const ResNetStage& stage : stages(config))
    text +=
        fmt::format("{}{} x {} pixels of {} channels, {} block{}", text.empty() ? "" : "; ",
                    stage.map, stage.map, stage.out, stage.blocks, stage.blocks == 1 ? "" : "s");
  return text;
}

}  // namespace

const std::string& Architecture::variant() const {
  return std::visit([](const auto& c) -> const std::string& { return c.variant; }, config_);
}
int Architecture::image_size() const {
  return std::visit([](const auto& c) { return c.image_size; }, config_);
}
int Architecture::in_channels() const {
  return std::visit([](const auto& c) { return c.in_channels; }, config_);
}
int Architecture::num_classes() const {
  return std::visit([](const auto& c) { return c.num_classes; }, config_);
}

void check_sizes(const Architecture& a) {
  if (a.nest())
    geometry(*a.nest());
  else
    stages(*a.resnet());
}

std::vector<Param> parameter_table(const Architecture& a) {
  return a.nest() ? parameter_table(*a.nest()) : parameter_table(*a.resnet());
}

int64_t parameter_count(const Architecture& a) { return parameter_count(parameter_table(a)); }

std::vector<int64_t> parameters_by_part(const Architecture& a) {
  return parameters_by_part(parameter_table(a));
}

int64_t multiply_accumulates(const Architecture& a) {
  return a.nest() ? multiply_accumulates(*a.nest()) : multiply_accumulates(*a.resnet());
}

std::string describe(const Architecture& a) {
  return a.nest() ? text_of(*a.nest()) : text_of(*a.resnet());
}

const std::vector<std::string>& architecture_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list = variant_names();
    list.insert(list.end(), resnet_names().begin(), resnet_names().end());
    return list;
  }();
  return names;
}

Architecture architecture(const std::string& name) {
  if (is_resnet(name)) return resnet(name);
  const std::vector<std::string>& nests = variant_names();
  if (std::find(nests.begin(), nests.end(), name) != nests.end()) return nestvit::variant(name);
  unknown_model(name, architecture_names());
}

}  // namespace nestvit
