// Reading, one operation, writing.
#include "cli/verbs/data/augment.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "image/augment/randaugment_ops.h"
#include "image/codecs/codec.h"

namespace nestvit::cli {
namespace {

enum class Format { kPng, kJpeg };

Format format_of(const std::string& path) {
  const std::string extension = ascii_lower(std::filesystem::path(path).extension().string());
  if (extension == ".png") return Format::kPng;
  if (extension == ".jpg" || extension == ".jpeg") return Format::kJpeg;
  throw UsageError(fmt::format("{}: what kind of file is to be written?", path),
                   "end its name in .png or .jpg");
}

}  // namespace

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
  add_text(app, "OUT", &options->output, "FILE",
           "The picture to write; an existing one is replaced.", Need::kRequired);
  add_text(app, "--op", &options->op, "NAME", "The operation, as above.", Need::kRequired);
  add_real(app, "--level", &options->level, -1e9, 1e9, "How strong, 0 to 1.");
  add_choice(app, "--sign", &options->sign, {"+", "-"},
             "Direction of rotations, shears and translations.");
}

int data_augment(const DataAugmentOptions& options) {
  const TfOp op = parse_tf_op(options.op);
  const Format format = format_of(options.output);
  const auto level = static_cast<float>(options.level);
  const bool negative = options.sign == "-";
  tf_argument(op, level, negative, {});  // a wrong level needs no picture to be refused
  Image image = read_image(options.input, {});
  const TfOpSettings settings = tf_op_settings(std::min(image.height, image.width));
  const float argument = tf_argument(op, level, negative, settings);
  image = apply_tf_argument(std::move(image), op, argument);
  write_file(options.output, format == Format::kPng ? encode_png(image) : encode_jpeg(image));
  fmt::print("{}{}: {} x {} pixels\n", tf_op_name(op),
             takes_level(op) ? fmt::format(" {:.4g}", argument) : "", image.width, image.height);
  return 0;
}

}  // namespace nestvit::cli
