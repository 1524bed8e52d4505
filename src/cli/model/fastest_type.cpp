// Times the types once per processor and network.
#include "cli/model/fastest_type.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "base/system/environment.h"
#include "base/system/processors.h"
#include "hub/cache.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kRuns = 5;
constexpr uint64_t kLargestFile = 1 << 16;

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line;
  return "an unknown processor";
}

// All that the speeds depend on, on one line.
std::string key_of(const LoadedModel& model, int threads) {
  NestConfig config = model.config;
  std::string yaml = fields(config).to_yaml();
  std::replace(yaml.begin(), yaml.end(), '\n', ' ');
  return fmt::format("nestvit {}; {}; NESTVIT_ISA={}; {} threads; {} px; {} classes; {}",
                     NESTVIT_VERSION, processor(), environment_variable("NESTVIT_ISA").value_or(""),
                     thread_count(threads), config.image_size, config.num_classes, yaml);
}

fs::path place_of(const std::string& key) {
  try {
    return nestvit_cache() / "speed" / fmt::format("{:016x}.txt", std::hash<std::string>{}(key));
  } catch (const Error&) {  // no home
    return {};
  }
}

// The key, then a line for each type: "bf16 26.01".
std::optional<SpeedOfTypes> kept_at(const fs::path& place, const std::string& key) {
  std::error_code ignored;
  if (place.empty() || !fs::exists(place, ignored)) return std::nullopt;
  std::istringstream text(read_text(place, kLargestFile));
  std::string line, name;
  if (!std::getline(text, line) || line != key) return std::nullopt;
  SpeedOfTypes result;
  result.kept = place;
  for (double speed = 0; text >> name >> speed;)
    if (const auto precision = number_type_named(name); precision && speed > 0)
      result.speeds.emplace_back(*precision, speed);
  if (result.speeds.empty()) return std::nullopt;
  return result;
}

double measured_speed(const LoadedModel& model, int threads, NumberType precision) {
  const Engine engine(model, {.threads = threads, .precision = precision});
  const std::vector<float> image(static_cast<size_t>(model.config.in_channels) *
                                 model.config.image_size * model.config.image_size);
  double best = 0;
  for (int i = 0; i <= kRuns; ++i) {  // the first plans
    const auto start = std::chrono::steady_clock::now();
    engine.run(image, 1);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::max(best, 1 / took.count());
  }
  return best;
}

void keep(const SpeedOfTypes& result, const std::string& key) {
  std::string text = key + "\n";
  for (const auto& [precision, speed] : result.speeds)
    text += fmt::format("{} {:.3f}\n", number_type_name(precision), speed);
  fs::create_directories(result.kept.parent_path());
  write_file(result.kept, text);
}

}  // namespace

NumberType SpeedOfTypes::fastest() const {
  return std::max_element(speeds.begin(), speeds.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

SpeedOfTypes speed_of_types(const LoadedModel& model, int threads) {
  const std::string key = key_of(model, threads);
  const fs::path place = place_of(key);
  try {
    if (auto kept = kept_at(place, key)) return *kept;
  } catch (const Error&) {  // unreadable: as good as absent
  }
  SpeedOfTypes result;
  result.measured = true;
  for (const NumberType precision : kNumberTypes) {
    if (precision == NumberType::kInt8) continue;
    try {
      result.speeds.emplace_back(precision, measured_speed(model, threads, precision));
    } catch (const UsageError&) {  // not on this processor
      if (precision == NumberType::kF32) throw;
    }
  }
  if (place.empty()) return result;
  try {
    result.kept = place;
    keep(result, key);
  } catch (const std::exception& error) {
    result.kept.clear();
    log_warning(fmt::format("the choice of --dtype auto cannot be kept: {}", error.what()));
  }
  return result;
}

}  // namespace nestvit::cli
