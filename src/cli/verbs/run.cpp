// nestvit run: raw tensors in, raw tensors out, for comparisons with another implementation.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>

#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "weights/safetensors.h"

namespace nestvit::cli {
namespace {

struct TensorRunOptions {
  ModelSource model;
  std::string input, output, engine, gradients, dtype = "f32";
  bool features = false;
  int batch_size = 32;
  int threads = 0;
};

Tensor read_input(const std::string& path, const NestConfig& config) {
  const TensorMap tensors = read_safetensors(path);
  const Tensor& input = find_tensor(tensors, "input", path);
  if (input.dtype() != DType::kF32)
    throw Error(fmt::format("{}: \"input\" is {}, expected F32", path, dtype_name(input.dtype())),
                "convert it to 32-bit floats first");
  const std::vector<int64_t> image = {config.in_channels, config.image_size, config.image_size};
  const std::vector<int64_t>& shape = input.shape();
  if (shape.size() != 4 || shape[0] < 1 ||
      !std::equal(image.begin(), image.end(), shape.begin() + 1))
    throw Error(
        fmt::format("{}: \"input\" has shape {}, expected [B, {}, {}, {}] with B at least 1", path,
                    shape_text(shape), image[0], image[1], image[2]),
        "give normalised images, channels first; \"nestvit preprocess\" makes them");
  return input;
}

using Tensors = std::map<std::string, std::vector<float>>;

void append(std::vector<float>* to, const std::vector<float>& values) {
  to->insert(to->end(), values.begin(), values.end());
}

// What --gradients differentiates: the logit of a class, or the loss of soft labels.
class Explained {
 public:
  Explained(const TensorRunOptions& options, const LoadedModel& model, int64_t images)
      : images_(images) {
    const int classes = model.config.num_classes;
    if (options.gradients == "soft") {
      const TensorMap tensors = read_safetensors(options.input);
      const Tensor& labels = find_tensor(tensors, "soft_labels", options.input);
      if (labels.shape() != std::vector<int64_t>{images, classes})
        throw Error(fmt::format("{}: \"soft_labels\" has shape {}, expected [{}, {}]",
                                options.input, shape_text(labels.shape()), images, classes),
                    "give a row of probabilities for each image");
      labels_ = labels.to_f32();
      return;
    }
    const std::string& text = options.gradients;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), class_);
    if (error != std::errc() || end != text.data() + text.size() || class_ < 0 || class_ >= classes)
      throw UsageError(fmt::format("--gradients is \"{}\", expected a class from 0 to {}, or soft",
                                   text, classes - 1));
  }

  // t of image b: of a logit 1, or (softmax(logits) - labels) / images, which is the gradient of
  // the mean cross entropy.
  std::vector<float> target(int64_t b, std::span<const float> logits) const {
    std::vector<float> t(logits.size());
    if (labels_.empty()) {
      t[static_cast<size_t>(class_)] = 1;
      return t;
    }
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0, weight = 0;
    for (size_t k = 0; k < t.size(); ++k) {
      sum += std::exp(logits[k] - largest);
      weight += label(b, k);
    }
    for (size_t k = 0; k < t.size(); ++k)
      t[k] = static_cast<float>((std::exp(logits[k] - largest) / sum * weight - label(b, k)) /
                                static_cast<double>(images_));
    return t;
  }

 private:
  double label(int64_t b, size_t k) const {
    return labels_[static_cast<size_t>(b) * (labels_.size() / static_cast<size_t>(images_)) + k];
  }

  int64_t images_;
  int class_ = 0;
  std::vector<float> labels_;  // [images, K], or empty
};

void append(Tensors* tensors, const std::string& name, const std::vector<float>& values) {
  append(&(*tensors)[name], values);
}

// Gradients of one image, each array after those of the images before it.
void append(Tensors* tensors, const Gradients& image, const std::string& prefix) {
  append(tensors, prefix + "input_grad", image.pixels.gradient);
  append(tensors, prefix + "final_norm_grad", image.final_norm.gradient);
  for (size_t i = 0; i < image.levels.size(); ++i) {
    const std::string level = fmt::format("{}level_{}_", prefix, i);
    append(tensors, level + "grad", image.levels[i].output.gradient);
    append(tensors, level + "input_grad", image.levels[i].input.gradient);
    if (i > 0) append(tensors, level + "aggregated_grad", image.levels[i].aggregated.gradient);
  }
  if (!prefix.empty()) return;
  append(tensors, "final_norm", image.final_norm.values);
  for (size_t i = 0; i < image.levels.size(); ++i) {
    append(tensors, fmt::format("level_{}", i), image.levels[i].output.values);
    append(tensors, fmt::format("level_{}_input", i), image.levels[i].input.values);
    if (i > 0)
      append(tensors, fmt::format("level_{}_aggregated", i), image.levels[i].aggregated.values);
  }
}

// The shape of an array by its name: of the image, or of what a level has.
std::vector<int64_t> shape_of(const std::string& name, const NestConfig& config, int64_t images) {
  const std::vector<Level> levels = geometry(config);
  const auto blocks = [&](const Level& level) {
    return std::vector<int64_t>{images, level.blocks, level.tokens, level.width};
  };
  const size_t at = name.find("level_");
  if (at == std::string::npos) {
    if (name.find("final_norm") != std::string::npos) return blocks(levels.back());
    return {images, config.in_channels, config.image_size, config.image_size};
  }
  const auto i = static_cast<size_t>(std::stoi(name.substr(at + 6)));
  if (name.find("aggregated") == std::string::npos) return blocks(levels[i]);
  return {images, levels[i - 1].map(), levels[i - 1].map(), levels[i].width};
}

TensorMap gradients(const TensorRunOptions& options, const LoadedModel& model, const Tensor& input,
                    const RunGradients& run) {
  const auto values = input.as<float>();
  const int64_t images = input.dim(0), K = model.config.num_classes;
  const size_t image_size = values.size() / static_cast<size_t>(images);
  const Explained explained(options, model, images);
  Tensors arrays;
  std::vector<float> logits;
  for (int64_t at = 0; at < images; at += options.batch_size) {
    const int batch = static_cast<int>(std::min<int64_t>(options.batch_size, images - at));
    const Targets targets = [&](int b, std::span<const float> of_image) {
      return std::vector<std::vector<float>>{explained.target(at + b, of_image)};
    };
    for (const auto& [propagation, prefix] :
         {std::pair{Propagation::kGradient, ""}, {Propagation::kConservative, "relevance_"}}) {
      const auto results = run(values.subspan(at * image_size, batch * image_size), batch, targets,
                               {propagation, Depth::kPixels});
      for (const auto& image : results) {
        append(&arrays, image.at(0), prefix);
        if (propagation == Propagation::kGradient) append(&logits, image.at(0).logits);
      }
    }
  }
  TensorMap tensors;
  for (auto& [name, array] : arrays)
    tensors[name] = Tensor::f32(shape_of(name, model.config, images), std::move(array));
  tensors["logits"] = Tensor::f32({images, K}, std::move(logits));
  return tensors;
}

void write(const TensorRunOptions& options, const TensorMap& tensors) {
  write_safetensors(options.output, tensors);
  for (const auto& [name, tensor] : tensors)
    fmt::print("{} {} {}\n", name, dtype_name(tensor.dtype()), shape_text(tensor.shape()));
}

int run_gradients(const TensorRunOptions& options, const MakeGradients& make_gradients,
                  const Invocation& invocation) {
  if (!make_gradients) throw UsageError("--gradients is for the engine core");
  if (options.dtype != "f32")
    throw UsageError(fmt::format("--gradients computes in f32, not in {}", options.dtype));
  const LoadedModel model = options.model.load(invocation, Widening::kLater);
  const Tensor input = read_input(options.input, model.config);
  write(options, gradients(options, model, input, make_gradients(model, options.threads)));
  return 0;
}

int run_tensors(const TensorRunOptions& options, const MakeForward& make_forward,
                const Invocation& invocation) {
  const LoadedModel model = options.model.load(invocation, Widening::kLater);
  const Tensor input = read_input(options.input, model.config);
  const Forward forward = make_forward(model, forward_options(options.threads, options.dtype));

  const auto values = input.as<float>();  // [B, C, S, S]
  const int64_t images = input.dim(0);
  const size_t image_size = values.size() / images;
  Output whole;
  for (int64_t at = 0; at < images; at += options.batch_size) {
    const int batch = static_cast<int>(std::min<int64_t>(options.batch_size, images - at));
    Output part =
        forward(values.subspan(at * image_size, batch * image_size), batch, options.features);
    append(&whole.logits, part.logits);
    whole.levels.resize(part.levels.size());
    for (size_t i = 0; i < part.levels.size(); ++i) {
      whole.levels[i].shape = part.levels[i].shape;
      append(&whole.levels[i].values, part.levels[i].values);
    }
  }

  TensorMap tensors;
  tensors["logits"] = Tensor::f32({images, model.config.num_classes}, std::move(whole.logits));
  for (size_t i = 0; i < whole.levels.size(); ++i) {
    std::vector<int64_t> shape = whole.levels[i].shape;  // [B, T, N, C]
    shape[0] = images;
    tensors[fmt::format("level_{}", i)] = Tensor::f32(shape, std::move(whole.levels[i].values));
  }
  write(options, tensors);
  return 0;
}

}  // namespace

Verb run_verb(const ForwardEngine& engine) {
  Verb verb;
  verb.name = "run";
  verb.summary = "Run a model on raw tensors: safetensors in, safetensors out.";
  verb.details = R"(
No decoding, no normalisation, no softmax: for comparing this implementation with another. The input
file holds "input", f32 [B, channels, S, S], normalised. The output file gets "logits", f32
[B, classes], and with --features "level_0", "level_1", ...: the output of each level's last encoder
layer, f32 [B, T, N, C] (T blocks of N tokens of C channels), level 0 at the image side.

--gradients CLASS adds the gradients of that class's logit: "input_grad" [B, channels, S, S], and
for each level "level_0_grad" (of its output "level_0"), "level_0_input_grad" (of its input before
the position embedding, "level_0_input"), above level 0 also "level_1_aggregated_grad" (before the
max-pool, a plane); "final_norm_grad" of "final_norm". The same names with "relevance_" are
conservative gradients: attention's weights, a norm's deviation and GELU's gate count as constants.
With soft instead of a class the gradients are those of the mean cross entropy with "soft_labels",
f32 [B, classes], of the input file.
)";
  verb.examples = R"(
nestvit preprocess --model out/best photo.jpg --output x.safetensors
nestvit run --model out/best --input x.safetensors --output y.safetensors --features
nestvit run --model out/best --input x.safetensors --output y.safetensors --gradients 3
)";
  verb.overrides = true;
  verb.declare = [engine](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<TensorRunOptions>();
    add_model_options(app, &options->model);
    add_text(app, "--input", &options->input, "FILE", "The safetensors file with \"input\".",
             Need::kRequired);
    add_output_file(app, "--output", &options->output,
                    "The safetensors file to write; an existing one is replaced.", Need::kRequired);
    add_flag(app, "--features", &options->features, "Also write every level's output.");
    add_text(app, "--gradients", &options->gradients, "CLASS|soft",
             "Write gradients, too: of a class's logit, by its index, or of soft labels' loss.");
    add_number(app, "-b,--batch-size", &options->batch_size, 1, "Images per forward pass.");
    add_number(app, "--threads", &options->threads, 0,
               "Threads of the forward pass; 0: as many as this process may use.");
    add_dtype_option(app, &options->dtype);
    add_engine_option(app, &options->engine, engine);
    return [options, engine, &invocation] {
      use_engine(options->engine, engine, invocation);
      if (!options->gradients.empty())
        return run_gradients(*options, engine.make_gradients, invocation);
      return run_tensors(*options, engine.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli
