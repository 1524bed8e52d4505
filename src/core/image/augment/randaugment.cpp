// Drawing and applying RandAugment's layers.
#include "image/augment/randaugment.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

namespace nestvit {
namespace {

float draw_level(const RandAugment& s, Rng& rng) {
  if (s.magstd > 0)
    return static_cast<float>(*s.magnitude) + static_cast<float>(s.magstd) * rng.normal();
  if (s.magnitude) return static_cast<float>(*s.magnitude);
  if (s.num_levels == 0) return rng.uniform();
  return static_cast<float>(rng.below(static_cast<uint64_t>(s.num_levels) + 1));
}

float level_of(const RandAugment& s, float drawn) {
  const auto levels = static_cast<float>(s.num_levels);
  if (s.magstd > 0) return std::clamp(drawn, 0.0f, levels) / levels;
  return s.magnitude || s.num_levels == 0 ? drawn : drawn / levels;
}

std::string level_text(const RandAugment& s) {
  if (s.magstd > 0)
    return fmt::format("level N({}, {}) of {}", *s.magnitude, s.magstd, s.num_levels);
  if (s.magnitude) return fmt::format("level {}", *s.magnitude);
  return s.num_levels == 0 ? "level uniform in [0, 1)"
                           : fmt::format("level one of 0 to {} of {}", s.num_levels, s.num_levels);
}

}  // namespace

void check(const RandAugment& s) {
  const auto fail = [](const std::string& what, const std::string& hint) {
    throw UsageError("RandAugment: " + what, hint);
  };
  if (s.num_layers < 0 || s.num_layers > 100)
    fail(fmt::format("num_layers is {}", s.num_layers), "give 0 to 100");
  if (s.num_levels < 0 || s.num_levels > 1'000'000)
    fail(fmt::format("num_levels is {}", s.num_levels), "give 0 to 1000000");
  if (!(s.magstd >= 0 && s.magstd <= 1e6))
    fail(fmt::format("magstd is {}", s.magstd), "give 0 or more");
  if (s.size < 1) fail(fmt::format("size is {}", s.size), "give the side of the images in pixels");
  if (s.prob_to_apply && !(*s.prob_to_apply >= 0 && *s.prob_to_apply <= 1))
    fail(fmt::format("prob_to_apply is {}", *s.prob_to_apply), "give a probability, 0 to 1");
  if (s.magstd > 0 && (!s.magnitude || s.num_levels == 0))
    fail("magstd spreads a magnitude over num_levels, and one of them is missing",
         "set magnitude (9 in the paper) and num_levels (10), or magstd to 0");
  const double most = s.magstd > 0 ? s.num_levels : 1;
  if (s.magnitude && !(*s.magnitude >= 0 && *s.magnitude <= most))
    fail(fmt::format("magnitude is {}, expected 0 to {}", *s.magnitude, most),
         s.magstd > 0 ? "raise num_levels, or lower the magnitude"
                      : "without magstd the magnitude is the level itself; set magstd (0.5 in the "
                        "paper) to count it in num_levels");
}

std::string describe(const RandAugment& s) {
  std::string text = fmt::format("RandAugment: {} of {} operations, {}, ", s.num_layers,
                                 tf_ops().size(), level_text(s));
  text += s.prob_to_apply ? fmt::format("each with probability {}", *s.prob_to_apply) : "always";
  text += fmt::format(", translations up to {} px", tf_op_settings(s.size).translate_const);
  return text + (s.cutout ? ", then cutout" : "");
}

RandAugmentDraws draw(const RandAugment& settings, int height, int width, Rng& rng) {
  RandAugmentDraws draws;
  const auto ops = tf_ops();
  for (int i = 0; i < settings.num_layers; ++i) {
    RandAugmentDraws::Layer layer;
    layer.level = draw_level(settings, rng);
    layer.op = ops[rng.below(ops.size())];
    layer.sign = rng.uniform();
    layer.apply = rng.uniform();
    draws.layers.push_back(layer);
  }
  draws.cutout_y = rng.uniform() * static_cast<float>(height);
  draws.cutout_x = rng.uniform() * static_cast<float>(width);
  return draws;
}

Image rand_augment(Image image, const RandAugment& settings, const RandAugmentDraws& draws) {
  const TfOpSettings ops = tf_op_settings(settings.size);
  for (const auto& layer : draws.layers) {
    if (settings.prob_to_apply && !(layer.apply < static_cast<float>(*settings.prob_to_apply)))
      continue;
    image = apply_tf_op(std::move(image), layer.op, level_of(settings, layer.level),
                        layer.sign < 0.5f, ops);
  }
  return settings.cutout ? cutout(std::move(image), draws.cutout_y, draws.cutout_x) : image;
}

Image rand_augment(Image image, const RandAugment& settings, Rng& rng) {
  const RandAugmentDraws draws = draw(settings, image.height, image.width, rng);
  return rand_augment(std::move(image), settings, draws);
}

}  // namespace nestvit
