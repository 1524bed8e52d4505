// The comparison behind "nestvit doctor".
#include "cli/verbs/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "base/log.h"
#include "image/transform.h"
#include "metrics/metrics.h"
#include "model/params.h"

namespace nestvit::cli {
namespace {

// The values of one image at each stage.
struct Trace {
  std::vector<float> pixels;  // HWC, [0, 255]
  std::vector<float> input;   // CHW
  Output output;              // empty without a model
};

// A side that can run: settings may be exchanged, weights stay.
class Runner {
 public:
  Runner(const Side& side, const MakeForward& make_forward) : preprocessing_(side.preprocessing) {
    if (side.model) forward_ = make_forward(*side.model, {});
  }
  Trace run(const Sample& sample) const {
    Trace trace;
    Pixels pixels = evaluation_pixels(sample, preprocessing_);
    trace.input.resize(pixels.values.size());
    normalise(pixels, preprocessing_, trace.input);
    trace.pixels = std::move(pixels.values);
    if (forward_) trace.output = forward_(trace.input, 1, true);
    return trace;
  }
  Output run(const std::vector<float>& input) const { return forward_(input, 1, true); }

 private:
  Preprocessing preprocessing_;
  Forward forward_;
};

struct Difference {
  double largest = 0, sum = 0, scale = 0;
  int64_t count = 0;
  void add(std::span<const float> a, std::span<const float> b) {
    NESTVIT_CHECK(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      const double d = std::abs(static_cast<double>(a[i]) - b[i]);
      largest = std::max(largest, std::isnan(d) ? INFINITY : d);
      sum += d;
      scale = std::max(scale, std::abs(static_cast<double>(a[i])));
    }
    count += static_cast<int64_t>(a.size());
  }
  double mean() const { return count ? sum / static_cast<double>(count) : 0; }
  double relative() const { return scale > 0 ? largest / scale : largest; }
};

// ---- the settings, one list for both kinds ----

// The keys of one setting; those in a group are exchanged together, since one alone may be no legal
// combination.
const std::vector<std::vector<std::string>> kPreprocessingGroups = {
    {"resampler", "interpolation", "crop_mode"},
    {"crop_pct"},
    {"mean", "std"},
    {"dct"},
    {"exif_orientation"},
    {"background"}};
const std::vector<std::vector<std::string>> kModelGroups = {{"gelu"}, {"pool_padding"}};

std::string text_of(const Fields& fields, const std::vector<std::string>& keys) {
  std::vector<std::string> values;
  for (const std::string& key : keys) values.push_back(fields.get(key));
  return fmt::format("{}", fmt::join(values, ", "));
}

// Those of the group's keys whose values differ.
std::vector<std::string> differing(const std::vector<std::string>& group, const Fields& a,
                                   const Fields& b) {
  std::vector<std::string> keys;
  for (const std::string& key : group)
    if (a.get(key) != b.get(key)) keys.push_back(key);
  return keys;
}

void copy_settings(const std::vector<std::string>& keys, const Fields& from, Fields to) {
  for (const std::string& key : keys) to.set(key, from.get(key));
}

// Every setting that differs; `apply` gives a side B's value of it.
struct DifferingSetting {
  SettingEffect effect;
  bool of_model = false;
  void apply(Side& to, Side from) const {
    if (of_model)
      copy_settings(effect.keys, fields(from.model->config), fields(to.model->config));
    else
      copy_settings(effect.keys, fields(from.preprocessing), fields(to.preprocessing));
  }
};

std::vector<DifferingSetting> differing_settings(Side a, Side b) {
  std::vector<DifferingSetting> settings;
  const auto collect = [&settings](const auto& groups, const Fields& ours, const Fields& theirs,
                                   bool of_model) {
    for (const auto& group : groups) {
      DifferingSetting setting;
      setting.effect.keys = differing(group, ours, theirs);
      if (setting.effect.keys.empty()) continue;
      setting.effect.a = text_of(ours, setting.effect.keys);
      setting.effect.b = text_of(theirs, setting.effect.keys);
      setting.of_model = of_model;
      settings.push_back(std::move(setting));
    }
  };
  if (a.model && b.model)
    collect(kModelGroups, fields(a.model->config), fields(b.model->config), true);
  collect(kPreprocessingGroups, fields(a.preprocessing), fields(b.preprocessing), false);
  return settings;
}

// ---- the weights ----

TensorDifference compare_tensors(const LoadedModel& a, const LoadedModel& b) {
  TensorDifference result;
  NestConfig ours = a.config, theirs = b.config;
  for (NestConfig* config : {&ours, &theirs}) {
    config->variant.clear();
    config->gelu = Gelu::kTanh;
    config->pool_padding = PoolPadding::kSame;
    config->stochastic_depth_drop = config->attn_drop = config->proj_drop = 0;
  }
  const auto mismatch = [&]() -> std::string {
    for (const auto& [name, tensor] : a.tensors) {
      const auto other = b.tensors.find(name);
      if (other == b.tensors.end()) return fmt::format("B has no {}", name);
      if (other->second.shape() != tensor.shape())
        return fmt::format("{} is {} in A and {} in B", name, shape_text(tensor.shape()),
                           shape_text(other->second.shape()));
    }
    for (const auto& [name, tensor] : b.tensors)
      if (!a.tensors.contains(name)) return fmt::format("A has no {}", name);
    const auto heads = [](const NestConfig& config) {
      std::vector<int> list;
      for (const Level& level : geometry(config)) list.push_back(level.heads);
      return list;
    };
    if (heads(ours) != heads(theirs))
      return "they split their channels into other numbers of heads";
    return "";
  };
  result.why_not = mismatch();
  result.comparable = result.why_not.empty();
  if (!result.comparable) return result;
  std::vector<std::pair<double, std::string>> found;
  for (const auto& [name, tensor] : a.tensors) {
    Difference difference;
    difference.add(tensor.as<float>(), b.tensors.at(name).as<float>());
    if (difference.largest == 0)
      ++result.equal;
    else
      found.emplace_back(difference.relative(), name);
  }
  result.different = static_cast<int>(found.size());
  std::sort(found.rbegin(), found.rend());
  for (size_t i = 0; i < std::min<size_t>(found.size(), 3); ++i)
    result.examples.push_back(
        fmt::format("{} by {:.2g} of its largest value", found[i].second, found[i].first));
  return result;
}

// ---- the stages ----

// Running totals per stage over all images.
class Stages {
 public:
  void add(const Trace& a, const Trace& b, const Output* b_on_a) {
    difference("pixels").add(a.pixels, b.pixels);
    difference("input").add(a.input, b.input);
    if (!b_on_a) return;
    for (size_t i = 0; i < a.output.levels.size(); ++i) {
      const std::string stage = fmt::format("level {}", i);
      difference(stage).add(a.output.levels[i].values, b.output.levels[i].values);
      same_input_[stage].add(a.output.levels[i].values, b_on_a->levels[i].values);
    }
    difference("logits").add(a.output.logits, b.output.logits);
    same_input_["logits"].add(a.output.logits, b_on_a->logits);
  }
  std::vector<StageDifference> result() const {
    std::vector<StageDifference> stages;
    for (const auto& [stage, d] : own_) {
      stages.push_back({stage, d.largest, d.mean(), d.scale, std::nullopt});
      if (const auto same = same_input_.find(stage); same != same_input_.end())
        stages.back().same_input_largest = same->second.largest;
    }
    return stages;
  }

 private:
  Difference& difference(const std::string& stage) {
    for (auto& [name, d] : own_)
      if (name == stage) return d;
    return own_.emplace_back(stage, Difference{}).second;
  }
  std::vector<std::pair<std::string, Difference>> own_;  // in the order of the pipeline
  std::map<std::string, Difference> same_input_;
};

struct Effect {
  Difference pixels, logits;
};

}  // namespace

Comparison compare(const Side& a, const Side& b, const Dataset& images,
                   const MakeForward& make_forward) {
  Comparison result;
  result.images = images.size();
  if (a.model && b.model) result.tensors = compare_tensors(*a.model, *b.model);
  const bool networks = result.tensors && result.tensors->comparable;
  if (a.preprocessing.image_size != b.preprocessing.image_size)
    throw Error(fmt::format("A takes images of {} pixels, B of {}", a.preprocessing.image_size,
                            b.preprocessing.image_size),
                "pixels can only be compared at the same size");
  Side left = a, right = b;
  if (!networks) left.model.reset(), right.model.reset();
  std::vector<DifferingSetting> settings = differing_settings(left, right);

  const Runner run_a(left, make_forward), run_b(right, make_forward);
  std::vector<Runner> alone;  // A with one setting of B's
  Side all = left;            // A with all of them
  for (const DifferingSetting& setting : settings) {
    Side changed = left;
    setting.apply(changed, right);
    setting.apply(all, right);
    alone.emplace_back(changed, make_forward);
  }
  const Runner run_all(all, make_forward);

  Stages stages;
  std::vector<Effect> effects(settings.size());
  Effect remaining;
  int64_t agree = 0;
  Progress progress("doctor", images.size());
  for (int64_t i = 0; i < images.size(); ++i) {
    const Sample sample = images.get(i);
    const Trace trace_a = run_a.run(sample), trace_b = run_b.run(sample);
    const std::optional<Output> b_on_a =
        networks ? std::optional(run_b.run(trace_a.input)) : std::nullopt;
    stages.add(trace_a, trace_b, b_on_a ? &*b_on_a : nullptr);
    if (networks)
      agree += top_indices(trace_a.output.logits, 1) == top_indices(trace_b.output.logits, 1);
    for (size_t k = 0; k < settings.size(); ++k) {
      const Trace changed = alone[k].run(sample);
      effects[k].pixels.add(trace_a.pixels, changed.pixels);
      effects[k].logits.add(trace_a.output.logits, changed.output.logits);
    }
    const Trace exchanged = run_all.run(sample);
    remaining.pixels.add(trace_b.pixels, exchanged.pixels);
    remaining.logits.add(trace_b.output.logits, exchanged.output.logits);
    progress.update(i + 1, "");
  }
  progress.finish();

  result.stages = stages.result();
  if (networks) result.top1_agree = agree;
  for (size_t k = 0; k < settings.size(); ++k) {
    settings[k].effect.pixels = effects[k].pixels.mean();
    settings[k].effect.logits = effects[k].logits.relative();
    result.effects.push_back(settings[k].effect);
  }
  std::stable_sort(result.effects.begin(), result.effects.end(),
                   [](const SettingEffect& x, const SettingEffect& y) {
                     return std::pair(x.logits, x.pixels) > std::pair(y.logits, y.pixels);
                   });
  result.remaining_pixels = remaining.pixels.mean();
  result.remaining_logits = remaining.logits.relative();
  return result;
}

}  // namespace nestvit::cli
