// nestvit run: raw tensors in, raw tensors out, for comparisons with another implementation.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>

#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "weights/safetensors.h"

namespace nestvit::cli {
namespace {

struct TensorRunOptions {
  ModelSource model;
  std::string input, output, engine, dtype = "f32";
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

void append(std::vector<float>* to, const std::vector<float>& values) {
  to->insert(to->end(), values.begin(), values.end());
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
  write_safetensors(options.output, tensors);
  for (const auto& [name, tensor] : tensors)
    fmt::print("{} {} {}\n", name, dtype_name(tensor.dtype()), shape_text(tensor.shape()));
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
)";
  verb.examples = R"(
nestvit preprocess --model out/best photo.jpg --output x.safetensors
nestvit run --model out/best --input x.safetensors --output y.safetensors --features
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
    add_number(app, "-b,--batch-size", &options->batch_size, 1, "Images per forward pass.");
    add_number(app, "--threads", &options->threads, 0,
               "Threads of the forward pass; 0: as many as this process may use.");
    add_dtype_option(app, &options->dtype);
    add_engine_option(app, &options->engine, engine);
    return [options, engine, &invocation] {
      use_engine(options->engine, engine, invocation);
      return run_tensors(*options, engine.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli
