// From a sample to pixels, by the recipe: the reference's basic step, and its detour for CIFAR at
// another size.
#include "run/input/pixels.h"

#include "base/check.h"
#include "image/codecs/codec.h"
#include "run/recipe/resolve.h"

namespace nestvit {
namespace {

constexpr int kCifarSide = 32;

TrainTransform transform_of(TransformChoice choice) {
  switch (choice) {
    case TransformChoice::kCrop:
      return TrainTransform::kCrop;
    case TransformChoice::kRrc:
      return TrainTransform::kRrc;
    case TransformChoice::kPad:
      return TrainTransform::kPad;
    case TransformChoice::kFlip:
      return TrainTransform::kFlip;
    case TransformChoice::kNone:
      return TrainTransform::kNone;
    case TransformChoice::kAuto:
      break;
  }
  NESTVIT_CHECK(false);  // resolve() chose
}

// Weights that were trained with Pillow's resize get it here as well.
bool enlarges(const Recipe& recipe, const std::string& kind) {
  return !cifar_name(kind).empty() && recipe.input_size != kCifarSide &&
         recipe.preprocessing.resampler == Resampler::kTf;
}

Sample enlarged(const Sample& sample, const Recipe& recipe) {
  Sample result;
  result.label = sample.label;
  result.name = sample.name;
  result.image = enlarge_small(decoded(sample, recipe.preprocessing), recipe.input_size);
  return result;
}

}  // namespace

Pixels training_input(const Sample& sample, const Recipe& recipe, const std::string& kind,
                      Rng& rng) {
  const TrainTransform transform = transform_of(recipe.train_transform);
  if (!enlarges(recipe, kind))
    return training_pixels(sample, recipe.preprocessing, transform, rng,
                           recipe.data.jpeg_scaled ? Decoding::kScaled : Decoding::kExact);
  Sample large = enlarged(sample, recipe);
  if (recipe.data.jpeg_round_trip && transform == TrainTransform::kCrop)
    large.encoded = encode_jpeg(large.image);
  return training_pixels(large, recipe.preprocessing, transform, rng);
}

Pixels evaluation_input(const Sample& sample, const Recipe& recipe, const std::string& kind) {
  return evaluation_pixels(enlarges(recipe, kind) ? enlarged(sample, recipe) : sample,
                           recipe.preprocessing);
}

}  // namespace nestvit
