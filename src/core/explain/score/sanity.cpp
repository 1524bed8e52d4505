// Parts of a model, cumulative randomisation, and the likeness of maps.
#include "explain/score/sanity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "metrics/similarity.h"
#include "model/params.h"

namespace nestvit {
namespace {

// Training starts from initial_tensors(seed), too, and its result resembles that: no draw here may
// be the one that the model started from, and people give both the same seed.
constexpr uint64_t kOtherSeeds = uint64_t{1} << 40;

std::string part_of(const Param& param, int levels) {
  if (is_head(param.name)) return "head";
  if (param.level == levels) return "norm";
  constexpr const char* kLayer = ".transformer_encoder.";
  if (const size_t at = param.name.find(kLayer); at != std::string::npos) {
    const size_t number = at + std::char_traits<char>::length(kLayer);
    return fmt::format("level {}, layer {}", param.level,
                       param.name.substr(number, param.name.find('.', number) - number));
  }
  return param.level > 0 ? fmt::format("pooling before level {}", param.level) : "patch embedding";
}

// A mean over what is finite.
struct Mean {
  double sum = 0;
  int64_t count = 0;
  void add(double value) {
    if (!std::isfinite(value)) return;
    sum += value;
    ++count;
  }
  double get() const {
    return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  }
};

std::vector<double> magnitudes(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

std::vector<double> scaled(std::vector<double> values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  if (largest > 0)
    for (double& value : values) value /= largest;
  return values;
}

struct Likeness {
  Mean spearman, magnitude, similarity;
  void add(const std::vector<double>& a, const std::vector<double>& b) {
    const auto side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(a.size()))));
    spearman.add(nestvit::spearman(a, b));
    magnitude.add(nestvit::spearman(magnitudes(a), magnitudes(b)));
    similarity.add(structural_similarity(scaled(a), scaled(b), side));
  }
  SanityScore score() const { return {spearman.get(), magnitude.get(), similarity.get()}; }
};

}  // namespace

std::vector<ModelPart> parts_from_head(const NestConfig& config) {
  const std::vector<Param> table = parameter_table(config);
  const auto levels = static_cast<int>(config.num_layers_per_block.size());
  std::vector<ModelPart> parts;
  for (auto param = table.rbegin(); param != table.rend(); ++param) {
    if (param->buffer) continue;
    const std::string name = part_of(*param, levels);
    if (parts.empty() || parts.back().name != name) parts.push_back({name, {}});
    parts.back().parameters.push_back(param->name);
  }
  return parts;
}

LoadedModel randomised(const LoadedModel& model, const std::vector<ModelPart>& parts, size_t count,
                       uint64_t seed) {
  const TensorMap fresh = initial_tensors(model.config, seed);
  LoadedModel result = model;
  for (size_t i = 0; i < count; ++i)
    for (const std::string& name : parts.at(i).parameters)
      result.tensors.insert_or_assign(name, fresh.at(name));
  return result;
}

std::vector<SanityRow> sanity(const LoadedModel& model, const MapsOf& maps_of,
                              const SanityOptions& options) {
  const std::vector<ModelPart> parts = parts_from_head(model.config);
  const auto original = maps_of(model);
  const int64_t all = 1 + std::ssize(parts) * options.seeds;
  int64_t done = 1;
  std::vector<SanityRow> rows;
  for (size_t count = 0; count <= parts.size(); ++count) {
    std::vector<Likeness> likeness(original.size());
    for (int s = 0; s < (count == 0 ? 1 : options.seeds); ++s) {
      const auto maps =
          count == 0 ? original
                     : maps_of(randomised(model, parts, count, kOtherSeeds + options.seed + s));
      NESTVIT_CHECK(maps.size() == original.size());
      for (size_t m = 0; m < maps.size(); ++m)
        for (size_t i = 0; i < maps[m].size(); ++i) likeness[m].add(original[m].at(i), maps[m][i]);
      if (count > 0) ++done;
      if (options.progress) options.progress(done, all);
    }
    rows.push_back({count == 0 ? "nothing" : parts[count - 1].name, {}});
    for (const Likeness& method : likeness) rows.back().methods.push_back(method.score());
  }
  return rows;
}

}  // namespace nestvit
