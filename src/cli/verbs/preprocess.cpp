// nestvit preprocess: images as tensors, before and after normalisation.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "image/transform.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::cli {
namespace {

struct PreprocessOptions {
  ModelSource model;
  std::string mode, output;
  std::string crop_pct, crop_mode, interpolation, mean, std;  // "": as the mode or the model says
  int size = 0;
  std::vector<std::string> images;
};

// "0.5,0.5,0.5" as the list that fields read.
std::string list_text(const std::string& text) {
  return text.starts_with("[") ? text : "[" + text + "]";
}

void check(const Preprocessing& p) {
  if (p.resampler == Resampler::kTf &&
      (p.interpolation != Interpolation::kBilinear || p.crop_mode != CropMode::kCenter))
    throw UsageError("mode jax resizes bilinearly and crops the centre, nothing else",
                     "use --mode timm for other interpolations and crop modes");
  if (!(p.crop_pct > 0 && p.crop_pct <= 1))
    throw UsageError(
        fmt::format("--crop-pct is {}, expected more than 0 and at most 1", p.crop_pct));
  const auto channels = static_cast<size_t>(p.channels);
  if (p.mean.size() != channels || p.std.size() != channels)
    throw UsageError(fmt::format("--mean has {} and --std {} numbers, expected {} each",
                                 p.mean.size(), p.std.size(), channels),
                     "separate them by commas: --mean 0.5,0.5,0.5");
  if (std::any_of(p.std.begin(), p.std.end(), [](double s) { return !(s > 0); }))
    throw UsageError("--std has a number that is not above 0");
}

Preprocessing chosen(const PreprocessOptions& options, const Invocation& invocation) {
  const bool by_mode = options.model.name.empty();
  if (by_mode == options.mode.empty())
    throw UsageError("give either --mode or --model", "--mode jax, --mode timm or --model DIR");
  if (by_mode && options.size == 0)
    throw UsageError("--mode needs --size", "for instance --size 224");
  Preprocessing p = by_mode ? preprocessing_mode(options.mode, options.size)
                            : options.model.describe(invocation).preprocessing;
  if (options.size > 0) p.image_size = options.size;
  Fields f = fields(p);
  const auto set = [&f](const char* key, const std::string& text) {
    if (!text.empty()) f.set(key, text);
  };
  set("crop_pct", options.crop_pct);
  set("crop_mode", options.crop_mode);
  set("interpolation", options.interpolation);
  if (!options.mean.empty()) set("mean", list_text(options.mean));
  if (!options.std.empty()) set("std", list_text(options.std));
  check(p);
  return p;
}

int preprocess(const PreprocessOptions& options, const Invocation& invocation) {
  const Preprocessing p = chosen(options, invocation);
  const int64_t plane = int64_t{p.image_size} * p.image_size;
  std::vector<float> pixels, input;  // [B, C, S, S]
  for (const std::string& path : options.images) {
    Sample sample;
    sample.encoded = read_file(path, 1u << 30);
    sample.name = path;
    const Pixels image = evaluation_pixels(sample, p);  // HWC
    for (int c = 0; c < p.channels; ++c)
      for (int64_t i = 0; i < plane; ++i) pixels.push_back(image.values[i * p.channels + c]);
    input.resize(input.size() + plane * p.channels);
    normalise(image, p, std::span(input).last(plane * p.channels));
  }
  const std::vector<int64_t> shape = {std::ssize(options.images), p.channels, p.image_size,
                                      p.image_size};
  TensorMap tensors;
  tensors["pixels"] = Tensor::f32(shape, std::move(pixels));
  tensors["input"] = Tensor::f32(shape, std::move(input));
  write_safetensors(options.output, tensors);
  fmt::print("pixels, input: F32 {}\n", shape_text(shape));
  return 0;
}

}  // namespace

Verb preprocess_verb() {
  Verb verb;
  verb.name = "preprocess";
  verb.summary = "Turn images into the tensors that a model takes.";
  verb.details = R"(
The output file holds "pixels", after decoding, resize and crop, in [0, 255], and "input", after
normalisation: (pixels/255 - mean)/std, as "nestvit run" takes it. Both are f32 [B, C, S, S] (batch,
channels, rows, columns), one image after the other.

Mode jax is the paper's evaluation: TensorFlow's bilinear resize without antialias. Mode timm is
timm's: Pillow's bicubic resize with antialias, on 8 bits. Mixing them up costs accuracy.
)";
  verb.examples = R"(
nestvit preprocess --mode jax --size 224 photo.jpg --output x.safetensors
# as a model wants it, two images in one batch
nestvit preprocess --model out/best a.png b.png --output x.safetensors
)";
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<PreprocessOptions>();
    add_texts(app, "IMAGE", &options->images, "FILE", "JPEG, PNG or WebP files.", Need::kRequired);
    add_output_file(app, "--output", &options->output,
                    "The safetensors file to write; an existing one is replaced.", Need::kRequired);
    add_choice(app, "--mode", &options->mode, {"jax", "timm"},
               "Whose evaluation transform; needs --size.");
    add_text(app, "--model", &options->model.name, "MODEL",
             "Instead of --mode: the preprocessing stored with this model.");
    add_number(app, "--size,--img-size", &options->size, 1,
               "Side S of the square input in pixels.");
    add_text(app, "--crop-pct", &options->crop_pct, "X",
             "Share of the resized image that the input keeps; both modes: 0.875.");
    add_choice(app, "--crop-mode", &options->crop_mode, {"center", "squash", "border"},
               "center resizes the shorter side and crops, squash resizes both sides, border fits "
               "the longer side and pads. Both modes: center.");
    add_choice(app, "--interpolation", &options->interpolation, {"bilinear", "bicubic"},
               "Filter of the resize. Mode jax: bilinear; mode timm: bicubic.");
    add_text(app, "--mean", &options->mean, "R,G,B",
             "Subtracted from pixels in [0, 1]. Both modes: 0.485,0.456,0.406.");
    add_text(app, "--std", &options->std, "R,G,B", "Divides. Both modes: 0.229,0.224,0.225.");
    return [options, &invocation] { return preprocess(*options, invocation); };
  };
  return verb;
}

}  // namespace nestvit::cli
