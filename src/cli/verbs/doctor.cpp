// nestvit doctor: why two models, or two preprocessings, do not answer alike.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "cli/model/image_inputs.h"
#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/compare.h"
#include "cli/verbs/verbs.h"

namespace nestvit::cli {
namespace {

// The relative difference of float32 programs that sum in another order.
constexpr double kFloatNoise = 2e-5;

struct DoctorOptions {
  bool compare = false;
  std::string a, b, variant;
  bool use_ema = false;
  int size = 0;
  std::vector<std::string> images;
};

bool is_mode(const std::string& name) { return name == "jax" || name == "timm"; }

Side open_side(const std::string& name, const DoctorOptions& options,
               const Invocation& invocation) {
  Side side;
  side.name = name;
  if (is_mode(name)) return side;  // its size comes from the other side
  side.model = ModelSource{name, options.variant, options.use_ema}.load(invocation);
  side.preprocessing = side.model->preprocessing;
  return side;
}

void give_size(Side& side, const Side& other, int size) {
  if (!is_mode(side.name)) return;
  if (size == 0 && !is_mode(other.name)) size = other.preprocessing.image_size;
  if (size == 0) throw UsageError("two preprocessings need a size", "for instance --size 224");
  side.preprocessing = preprocessing_mode(side.name, size);
}

void print_side(const char* letter, const Side& side) {
  fmt::print("{}  {}{}\n", letter, side.name,
             side.model ? fmt::format(": {}, {} classes, {} px", side.model->config.variant,
                                      side.model->config.num_classes, side.model->config.image_size)
                        : fmt::format(": preprocessing at {} px", side.preprocessing.image_size));
}

void print_tensors(const TensorDifference& tensors) {
  if (!tensors.comparable) {
    fmt::print("\nweights      of different networks: {}\n", tensors.why_not);
  } else if (tensors.different == 0) {
    fmt::print("\nweights      all {} tensors are equal, bit for bit\n", tensors.equal);
  } else {
    fmt::print("\nweights      {} of {} tensors differ, most of all {}\n", tensors.different,
               tensors.different + tensors.equal, fmt::join(tensors.examples, "; "));
  }
}

void print_stages(const Comparison& result) {
  fmt::print("\n{:<14}{:>14}{:>14}{:>14}{:>20}\n", "where", "largest", "mean", "of",
             "A's input in both");
  for (const StageDifference& stage : result.stages)
    fmt::print("{:<14}{:>14.3g}{:>14.3g}{:>14.4g}{:>20}\n", stage.stage, stage.largest, stage.mean,
               stage.scale,
               stage.same_input_largest ? fmt::format("{:.3g}", *stage.same_input_largest) : "");
  if (result.top1_agree)
    fmt::print("top-1         the same for {} of {} images\n", *result.top1_agree, result.images);
}

void print_effects(const Comparison& result, bool networks) {
  if (result.effects.empty()) {
    fmt::print("\nsettings      all equal\n");
    return;
  }
  fmt::print("\n{:<36}{:<26}{:<26}{:>12}{:>14}\n", "setting", "A", "B", "pixels",
             networks ? "logits" : "");
  for (const SettingEffect& effect : result.effects)
    fmt::print("{:<36}{:<26}{:<26}{:>12.3g}{:>14}\n",
               fmt::format("{}", fmt::join(effect.keys, ", ")), effect.a, effect.b, effect.pixels,
               networks ? fmt::format("{:.2g}", effect.logits) : "");
  fmt::print("(the change of A by B's value alone: pixels by the mean, of 255{})\n",
             networks ? "; logits by the largest change over the largest logit" : "");
}

// Names the first stage that differs, and says whether the settings account for it.
void print_verdict(const Comparison& result, bool networks) {
  const auto parted =
      std::find_if(result.stages.begin(), result.stages.end(),
                   [](const StageDifference& s) { return s.relative() > kFloatNoise; });
  if (parted == result.stages.end()) {
    fmt::print("\nThey answer alike: every stage agrees within float32's rounding.\n");
    return;
  }
  const bool explained = networks ? result.remaining_logits <= kFloatNoise
                                  : result.remaining_pixels / 255 <= kFloatNoise;
  fmt::print("\nThey part at {}. ", parted->stage);
  if (explained && !result.effects.empty())
    fmt::print("The settings above explain all of it; most of all {}.\n",
               fmt::join(result.effects.front().keys, ", "));
  else if (networks)
    fmt::print(
        "With all settings made equal, logits still differ by {:.2g} of the largest: the weights "
        "differ.\n",
        result.remaining_logits);
  else
    fmt::print("With all settings made equal, pixels still differ by {:.3g} of 255.\n",
               result.remaining_pixels);
}

int doctor(const DoctorOptions& options, const MakeForward& make_forward,
           const Invocation& invocation) {
  if (!options.compare)
    throw UsageError("nothing to compare", "nestvit doctor --compare A B IMAGES");
  Side a = open_side(options.a, options, invocation), b = open_side(options.b, options, invocation);
  give_size(a, b, options.size);
  give_size(b, a, options.size);
  if (options.images.empty())
    throw UsageError("no image to compare on", "name image files or folders after A and B");
  const auto images = open_inputs(options.images, {});
  const Comparison result = compare(a, b, *images, make_forward);
  print_side("A", a);
  print_side("B", b);
  const bool networks = result.top1_agree.has_value();
  if (result.tensors) print_tensors(*result.tensors);
  print_stages(result);
  print_effects(result, networks);
  print_verdict(result, networks);
  return 0;
}

}  // namespace

Verb doctor_verb(const ForwardEngine& engine) {
  Verb verb;
  verb.name = "doctor";
  verb.summary = "Compare two models or preprocessings on images: where they part, and why.";
  verb.details = R"(
A and B are models (anything that --model takes) or the preprocessings "jax" and "timm". Every image
goes through both. The output shows the weights' difference; per stage (pixels, input, level
outputs, logits) the largest and the mean difference, and the largest when both get A's input; and
for each setting that differs, its effect on its own. Settings: form of GELU, padding of the
max-pool, resize, crop, mean and std, JPEG decoding, EXIF, background.
)";
  verb.examples = R"(
# the official checkpoint and timm's conversion of it
nestvit doctor --compare nest-t_imagenet/ckpt.39 hf://timm/nest_tiny_jx.goog_in1k photo.jpg
# the paper's and timm's preprocessing of a folder of photos
nestvit doctor --compare jax timm photos --size 224
)";
  verb.overrides = true;
  verb.declare = [engine](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<DoctorOptions>();
    add_flag(app, "--compare", &options->compare, "Compare A with B on the images.");
    add_text(app, "A", &options->a, "MODEL", "A model, or jax or timm.", Need::kRequired);
    add_text(app, "B", &options->b, "MODEL", "Another one.", Need::kRequired);
    add_texts(app, "IMAGE", &options->images, "FILE", "Images or folders of images.");
    add_number(app, "--size,--img-size", &options->size, 1,
               "Side of the input in pixels, when neither A nor B is a model.");
    add_flag(app, "--use-ema", &options->use_ema,
             "Take the averaged (EMA) weights of checkpoints that have them.");
    add_text(app, "--variant", &options->variant, "NAME",
             "The variant of weights without a description.");
    return [options, engine, &invocation] {
      return doctor(*options, engine.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli
