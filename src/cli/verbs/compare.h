// Compares two models, or two preprocessings, on the same images: the first stage with different
// numbers, and the settings that explain them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/program/verb.h"
#include "data/dataset.h"
#include "weights/model_dir.h"

namespace nestvit::cli {

struct Side {
  std::string name;
  Preprocessing preprocessing;
  std::optional<LoadedModel> model;  // absent: a preprocessing alone
};

// A stage of the pipeline: the largest difference between A and B, and the mean one.
struct StageDifference {
  std::string stage;  // "pixels", "input", "level 0", ..., "logits"
  double largest = 0, mean = 0;
  double scale = 0;  // A's largest value, what differences are measured against
  // The largest difference when both get A's input; unset for stages before the input.
  std::optional<double> same_input_largest;

  double relative() const { return scale > 0 ? largest / scale : largest; }
};

// A setting that differs, or several that only make sense together, and what it changes on its own:
// A with B's value.
struct SettingEffect {
  std::vector<std::string> keys;
  std::string a, b;
  double pixels = 0;  // mean change, of 255
  double logits = 0;  // largest change over the largest logit
};

struct TensorDifference {
  int equal = 0, different = 0;
  std::vector<std::string> examples;  // the most different first, with how much
  bool comparable = true;             // same names and shapes
  std::string why_not;
};

struct Comparison {
  int64_t images = 0;
  std::vector<StageDifference> stages;
  std::vector<SettingEffect> effects;  // the largest first
  std::optional<TensorDifference> tensors;
  std::optional<int64_t> top1_agree;
  double remaining_pixels = 0, remaining_logits = 0;  // with all settings of A replaced by B's
};

// Runs `images` (all) through both. Sides with models must have the same networks up to GELU and
// padding for levels and logits to be compared; classes may differ in name only. Costs a few
// forwards per image and differing setting.
Comparison compare(const Side& a, const Side& b, const Dataset& images,
                   const MakeForward& make_forward);

}  // namespace nestvit::cli
