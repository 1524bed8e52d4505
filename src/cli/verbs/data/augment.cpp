// Reading, one operation, writing.
#include "cli/verbs/data/augment.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "image/augment/randaugment_ops.h"
#include "image/codecs/codec.h"
#include "image/codecs/picture_file.h"

namespace nestvit::cli {
const char* const kDataAugmentDetails =
    "Applies one of RandAugment's 16 operations to the picture IN, bit for bit as training does, "
    "and writes OUT (.png, .jpg): AutoContrast, Equalize, Rotate, Posterize, Solarize, Color, "
    "Contrast, Brightness, Sharpness, ShearX, ShearY, TranslateX, TranslateY, Identity, "
    "SolarizeAdd, Invert. Recipes with magnitude 9 of 10 draw levels about 0.9. How far a "
    "translation goes follows from the shorter side, as it does from the size in training.";

const char* const kDataAugmentExamples =
    "nestvit data augment --op Rotate --level 0.9 --sign - photo.jpg turned.png";

void add_data_augment_options(CLI::App& app, DataAugmentOptions* options) {
  add_text(app, "IN", &options->input, "FILE", "A JPEG, PNG or WebP file.", Need::kRequired);
  add_output_file(app, "OUT", &options->output,
                  "The picture to write, .png or .jpg; an existing one is replaced.",
                  Need::kRequired);
  add_text(app, "--op", &options->op, "NAME", "The operation, as above.", Need::kRequired);
  add_real(app, "--level", &options->level, -1e9, 1e9, "How strong, 0 to 1.");
  add_choice(app, "--sign", &options->sign, {"+", "-"},
             "Direction of rotations, shears and translations.");
}

int data_augment(const DataAugmentOptions& options) {
  const TfOp op = parse_tf_op(options.op);
  picture_format(options.output);  // a wrong name is refused before the work, too
  const auto level = static_cast<float>(options.level);
  const bool negative = options.sign == "-";
  tf_argument(op, level, negative, {});  // a wrong level needs no picture to be refused
  Image image = read_image(options.input, {});
  const TfOpSettings settings = tf_op_settings(std::min(image.height, image.width));
  const float argument = tf_argument(op, level, negative, settings);
  image = apply_tf_argument(std::move(image), op, argument);
  write_picture(options.output, image);
  fmt::print("{}{}: {} x {} pixels\n", tf_op_name(op),
             takes_level(op) ? fmt::format(" {:.4g}", argument) : "", image.width, image.height);
  return 0;
}

}  // namespace nestvit::cli
