// From an encoded or raw image to the S x S input: the evaluation transforms of both peers, and the
// training steps of the reference and of timm. The other augmentations of a recipe are in augment/.
#pragma once

#include <span>

#include "base/random.h"
#include "image/image.h"
#include "image/sample.h"
#include "model/preprocessing.h"

namespace nestvit {

// The whole image, decoded as `preprocessing` says where it is a file's bytes. Throws Error that
// names the sample.
Image decoded(const Sample& sample, const Preprocessing& preprocessing);

// Stage "pixels": S x S in [0, 255], before normalisation; reference.md D.8 (kTf), timm's
// transforms_imagenet_eval (kPil).
Pixels evaluation_pixels(const Sample& sample, const Preprocessing& preprocessing);

// Where the pixels of the S x S input lie on the image that they were made of: a position of the
// input is at `scale * position + shift` of the image, per axis, edges mapped to edges. Positions
// outside the image are padding.
struct View {
  double scale_y = 1, scale_x = 1, shift_y = 0, shift_x = 0;
};
// Of evaluation_pixels(), for a decoded image of this size, by the code that resizes it.
View evaluation_view(int height, int width, const Preprocessing& preprocessing);

// The reference's basic training steps, and timm's. kCrop (D.4): random box of area 5 to 100 %,
// resize, flip. kRrc: timm's RandomResizedCropAndInterpolation, area 8 to 100 %, by Pillow's
// bilinear or bicubic, then flip. kPad (D.5): pad by 2, crop S, flip. kFlip: evaluation transform,
// then flip (for data that is already aligned). kNone: evaluation.
enum class TrainTransform { kCrop, kRrc, kPad, kFlip, kNone };
// kScaled: kCrop and kRrc decode a JPEG's box at a fraction of its size where the result is not
// smaller than the input. Pixels differ a little from the exact ones.
enum class Decoding { kExact, kScaled };
Pixels training_pixels(const Sample& sample, const Preprocessing& preprocessing,
                       TrainTransform transform, Rng& rng, Decoding decoding = Decoding::kExact);

// Small images at another size (reference.md D.6): to side int(S * 256/224), bilinear, truncated to
// 8 bits. The result is then evaluated or trained on as a larger image.
Image enlarge_small(const Image& image, int image_size);

// TF's sample_distorted_bounding_box as the reference calls it (D.4): a pure function of the
// generator's numbers.
Box sample_crop(int height, int width, Rng& rng);

// timm's RandomResizedCropAndInterpolation.get_params.
Box sample_timm_crop(int height, int width, Rng& rng);

// (x/255 - mean) / std into `chw` [C, S, S].
void normalise(const Pixels& pixels, const Preprocessing& preprocessing, std::span<float> chw);

}  // namespace nestvit
