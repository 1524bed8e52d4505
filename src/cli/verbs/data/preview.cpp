// Batches of a run, by the run's own code: drawn, or written down.
#include "cli/verbs/data/preview.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "cli/program/options.h"
#include "image/codecs/codec.h"
#include "image/codecs/picture_file.h"
#include "image/transform.h"
#include "report/picture.h"
#include "run/input/batches.h"
#include "run/recipe/plan.h"
#include "run/start_print.h"
#include "weights/safetensors.h"

namespace nestvit::cli {
namespace {

// "0.70 cat + 0.30 dog": the classes that stand out from what smoothing gives to all.
std::string label_text(std::span<const float> target, const std::vector<std::string>& classes,
                       double smoothing) {
  const auto count = static_cast<double>(target.size());
  std::vector<size_t> shown;
  for (size_t k = 0; k < target.size(); ++k)
    if (target[k] > smoothing / count + 1e-4) shown.push_back(k);
  std::sort(shown.begin(), shown.end(), [&](size_t a, size_t b) { return target[a] > target[b]; });
  std::string text;
  for (const size_t k : shown)
    text += fmt::format("{}{:.2f} {}", text.empty() ? "" : " + ", target[k],
                        k < classes.size() ? classes[k] : fmt::format("class {}", k));
  return text;
}

// [C, S, S], normalised -> 8-bit
Image shown(std::span<const float> chw, const Batch& batch, const Preprocessing& p) {
  Image image{batch.height, batch.width, batch.channels, {}};
  image.pixels.resize(image.size());
  const size_t plane = static_cast<size_t>(batch.height) * batch.width;
  for (size_t c = 0; c < static_cast<size_t>(batch.channels); ++c)
    for (size_t i = 0; i < plane; ++i) {
      const double unit = chw[c * plane + i] * p.std[c] + p.mean[c];
      image.pixels[i * batch.channels + c] =
          static_cast<uint8_t>(std::lround(255 * std::clamp(unit, 0.0, 1.0)));
    }
  return image;
}

// The file and its folder: what tells images apart on a narrow card.
std::string short_name(const std::string& name) {
  const size_t file = name.rfind('/');
  const size_t folder = file == std::string::npos || file == 0 ? file : name.rfind('/', file - 1);
  return folder == std::string::npos ? name : name.substr(folder + 1);
}

// Cards of `batch` until there are `wanted`.
void add_views(std::vector<TrainingView>& views, size_t wanted, const RunSetup& setup,
               const Batch& batch, const std::vector<float>& targets) {
  const Recipe& recipe = setup.recipe;
  const size_t pixels = batch.images.size() / static_cast<size_t>(batch.size);
  const size_t classes = targets.size() / static_cast<size_t>(batch.size);
  for (size_t i = 0; i < static_cast<size_t>(batch.size) && views.size() < wanted; ++i) {
    const Sample sample = setup.train->get(batch.indices[i] % setup.train->size());
    TrainingView view;
    view.original =
        to_channels(decoded(sample, recipe.preprocessing), recipe.preprocessing.channels);
    view.seen = shown({&batch.images[i * pixels], pixels}, batch, recipe.preprocessing);
    view.title = short_name(sample.name);
    view.label =
        label_text({&targets[i * classes], classes}, setup.train->classes(), recipe.mix.smoothing);
    views.push_back(std::move(view));
  }
}

// The batches of one optimiser step, one after the other.
struct StepTensors {
  std::vector<float> images, targets;  // [B, C, S, S], [B, K]
  int64_t count = 0;                   // B

  void add(const Batch& batch, const std::vector<float>& soft) {
    images.insert(images.end(), batch.images.begin(), batch.images.end());
    targets.insert(targets.end(), soft.begin(), soft.end());
    count += batch.size;
  }
  void put(TensorMap& tensors, int64_t step, const Recipe& r) {
    if (count == 0) return;  // all its images are broken and left out
    tensors[fmt::format("images.{}", step)] =
        Tensor::f32({count, r.in_channels, r.input_size, r.input_size}, std::move(images));
    tensors[fmt::format("targets.{}", step)] =
        Tensor::f32({count, r.num_classes}, std::move(targets));
  }
};

// Looks at steps one after the other, as far as the picture and the file need them.
class Preview {
 public:
  Preview(const DataPreviewOptions& options, const RunSetup& setup, const StepPlan& plan)
      : options_(options),
        setup_(setup),
        parts_(step_batches(setup.recipe)),
        total_(plan.total),
        schedule_(schedule_of(setup.recipe, plan)),
        batches_(setup.recipe, *setup.train, plan.total * parts_, std::max(1, options.workers)) {}

  void run() {
    const size_t wanted = options_.output.empty() ? 0 : static_cast<size_t>(options_.images);
    const int64_t kept = options_.save_batch.empty() ? 0 : options_.step + options_.steps - 1;
    for (int64_t step = options_.step; step <= total_ && (step <= kept || views_.size() < wanted);
         ++step)
      look(step, wanted, step <= kept);
  }
  void draw() const {
    const std::string heading =
        fmt::format("step {}: each image as it is, and as the network sees it", options_.step);
    write_training_sheet(options_.output, heading, views_, options_.columns);
    fmt::print("{}: {} images from step {} on\n", options_.output, views_.size(), options_.step);
  }
  void save() {
    tensors_["learning_rate"] = Tensor::f32({std::ssize(rates_)}, rates_);
    write_safetensors(options_.save_batch, tensors_);
    fmt::print("{}: {} steps of {} images\n", options_.save_batch, rates_.size(),
               step_images(setup_.recipe));
  }

 private:
  void look(int64_t step, size_t wanted, bool keep) {
    StepTensors together;
    for (int64_t number = (step - 1) * parts_ + 1; number <= step * parts_; ++number) {
      std::optional<Batch> batch = batches_.next(number);
      if (!batch || batch->size == 0) continue;
      const std::vector<float> targets = batches_.targets(*batch, number);
      add_views(views_, wanted, setup_, *batch, targets);
      if (keep) together.add(*batch, targets);
    }
    if (!keep) return;
    together.put(tensors_, step, setup_.recipe);
    rates_.push_back(schedule_.at(step));
  }

  const DataPreviewOptions& options_;
  const RunSetup& setup_;
  int64_t parts_, total_;
  Schedule schedule_;
  Batches batches_;
  std::vector<TrainingView> views_;
  TensorMap tensors_;
  std::vector<float> rates_;
};

}  // namespace

const char* const kDataPreviewDetails =
    "Draws what the network sees in training: each image as it is in the data, beside it "
    "what crop, flip, RandAugment, colour jitter, erasing and mixing make of it, with the label "
    "that it is trained on. The code is that of training: the images of --step 1 are those of "
    "the first step of a run with this recipe and seed.\n\n"
    "--save-batch writes the batches as tensors for other programs: images.STEP [B, C, S, S], "
    "normalised, and targets.STEP [B, K] of each step (of all its batches where gradients are "
    "accumulated), and learning_rate [STEPS].\n\n"
    "Any key of the recipe can be set as --config.KEY=VALUE, as in nestvit train.";

const char* const kDataPreviewExamples =
    "nestvit data preview --config configs/cifar_nest.yaml cifar-10-batches-bin --output grid.png\n"
    "# the recipe that nestvit train would choose for a folder, without mixing\n"
    "nestvit data preview photos --output grid.png --images 12\n"
    "# what a run saw at step 500\n"
    "nestvit data preview --config out/config.yaml --step 500 --output grid.png\n"
    "# twenty steps for a peer\n"
    "nestvit data preview --config out/config.yaml --steps 20 --save-batch batches.safetensors";

void add_data_preview_options(CLI::App& app, DataPreviewOptions* options) {
  add_text(app, "DIR", &options->run.dir, "DIR", "The data, as for nestvit train.");
  add_text(app, "--data-dir", &options->run.data_dir, "DIR", "The same, as an option.");
  add_text(app, "-c,--config", &options->run.config, "FILE",
           "The recipe; left out: the one that nestvit train would choose.");
  add_output_file(app, "-o,--output", &options->output, "The picture to write, .png or .jpg.");
  add_number(app, "--images", &options->images, 1,
             "Images on it; from the following steps too when a batch has fewer.");
  add_number(app, "--columns", &options->columns, 1, "Images in a row.");
  add_number(app, "--step", &options->step, 1, "The step of the run, from 1.");
  add_output_file(app, "--save-batch", &options->save_batch,
                  "Write the batches themselves, as safetensors.");
  add_number(app, "--steps", &options->steps, 1, "How many steps --save-batch writes.");
  add_number(app, "-j,--workers", &options->workers, 0,
             "Threads that read and transform images; the batches do not depend on it.");
}

int data_preview(const DataPreviewOptions& options, const Invocation& invocation) {
  if (options.output.empty() && options.save_batch.empty())
    throw UsageError("nothing to write",
                     "name a picture: --output grid.png, or a file: --save-batch FILE.safetensors");
  if (!options.output.empty()) picture_format(options.output);
  const RunSetup setup = set_up(request_of(options.run, invocation), fetch_network);
  if (!setup.train)
    throw UsageError("eval_only trains on nothing", "leave it out to see training batches");
  const StepPlan plan = step_plan(setup.recipe, setup.train->size());
  const int64_t last = int64_t{options.step} + options.steps - 1;
  if (last > plan.total)
    throw UsageError(
        fmt::format("the run has {} steps, not {}", human_count(plan.total), human_count(last)),
        "choose an earlier --step, or fewer --steps");
  print_setup(setup);
  Preview preview(options, setup, plan);
  preview.run();
  if (!options.output.empty()) preview.draw();
  if (!options.save_batch.empty()) preview.save();
  return 0;
}

}  // namespace nestvit::cli
