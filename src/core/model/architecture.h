// Any network that nestvit trains, a NesT or a ResNet baseline, as far as training, checkpoints and
// config.json need to know it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/nest.h"
#include "model/params.h"
#include "model/resnet.h"

namespace nestvit {

class Architecture {
 public:
  Architecture() = default;
  Architecture(NestConfig config) : config_(std::move(config)) {}
  Architecture(ResNetConfig config) : config_(std::move(config)) {}

  const std::string& variant() const;
  int image_size() const;
  int in_channels() const;
  int num_classes() const;

  // Null when it is another kind.
  const NestConfig* nest() const { return std::get_if<NestConfig>(&config_); }
  const ResNetConfig* resnet() const { return std::get_if<ResNetConfig>(&config_); }

  bool operator==(const Architecture&) const = default;

 private:
  std::variant<NestConfig, ResNetConfig> config_;
};

// Throws as geometry() and stages() do. Cheap, whatever a file says: the table may be huge.
void check_sizes(const Architecture& architecture);
// Throw likewise.
std::vector<Param> parameter_table(const Architecture& architecture);
int64_t parameter_count(const Architecture& architecture);
std::vector<int64_t> parameters_by_part(const Architecture& architecture);
int64_t multiply_accumulates(const Architecture& architecture);
// "16 x 196 tokens of 96 channels, 2 layers; ...", image side first.
std::string describe(const Architecture& architecture);

// Variants of NesT, then the baselines.
const std::vector<std::string>& architecture_names();
// Throws UsageError with the nearest name.
Architecture architecture(const std::string& name);

}  // namespace nestvit
