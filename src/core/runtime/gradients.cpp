// The engine of gradients: checks its input, cuts large batches into parts that need bounded
// memory, and runs forward and backward on its own thread.
#include "runtime/gradients.h"

#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/system/processors.h"
#include "runtime/backward.h"
#include "runtime/call.h"
#include "runtime/compute_thread.h"
#include "runtime/forward.h"
#include "runtime/precision.h"

namespace nestvit {
namespace {

constexpr int64_t kMostImages = 32;
constexpr int64_t kMostFloats = 64 << 20;  // 256 MB of buffers
constexpr int64_t kMostSlots = 8;          // targets of an image whose gradients go down together

void check_finite(std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }))
    throw Error("logits are not finite", "the weights or the input hold NaN or infinity");
}

}  // namespace

struct GradientEngine::Impl {
  // The images of one call of the forward, and what it leaves for the backward.
  struct Part {
    const float* images;
    int64_t count;
    std::vector<LevelTrace> trace;
    std::vector<float*> outputs;  // of each level
    std::vector<float> logits;    // [count, K]
  };

  const NestConfig config;
  const std::vector<Level> levels;
  ComputeThread compute;
  std::optional<Forward> forward;  // both live and die on the compute thread
  std::optional<Backward> backward;
  Buffer kept;

  Impl(const LoadedModel& model, int threads)
      : config(model.config), levels(geometry(config)), compute(thread_count(threads)) {
    check_processor(NumberType::kF32);
    with_memory(config, [&] {
      compute.run([&] {
        forward.emplace(model, compute.threads());
        backward.emplace(model, *forward, compute.threads());
      });
    });
  }
  ~Impl() {
    compute.run([this] {
      backward.reset();
      forward.reset();
    });
  }

  int64_t image_size() const {
    return int64_t{config.in_channels} * config.image_size * config.image_size;
  }
  // Whether the backward goes through the layers of a level.
  static bool reaches(const Level& level, Depth depth) {
    return level.index > 0 || depth == Depth::kPixels;
  }
  int64_t kept_floats(Depth depth) const {
    int64_t floats = 0;
    for (const Level& level : levels)
      floats += rows_of(level) * level.width * (2 + (reaches(level, depth) ? 2 * level.depth : 0));
    return floats;
  }
  // Images of each part of a batch: as many as memory allows, in parts of about one size.
  int64_t together(int64_t batch, int64_t floats_per_image) const {
    const int64_t most = std::clamp<int64_t>(kMostFloats / floats_per_image, 1, kMostImages);
    const int64_t parts = (batch + most - 1) / most;
    return (batch + parts - 1) / parts;
  }

  void lay_out(Depth depth, Part* part) {
    float* next = kept.reserve(part->count * kept_floats(depth));
    for (const Level& level : levels) {
      const int64_t size = part->count * rows_of(level) * level.width;
      const auto array = [&] { return std::exchange(next, next + size); };
      LevelTrace trace{.input = array(), .layers = {}};
      part->outputs.push_back(array());
      for (int j = 0; reaches(level, depth) && j < level.depth; ++j) {
        float* before = array();
        trace.layers.push_back({.before = before, .between = array()});
      }
      part->trace.push_back(std::move(trace));
    }
  }

  std::vector<float> logits(std::span<const float> images, int64_t batch) {
    std::vector<float> result(static_cast<size_t>(batch * config.num_classes));
    const int64_t step = together(batch, forward->floats_per_image());
    for (int64_t first = 0; first < batch; first += step)
      (*forward)(images.data() + first * image_size(), std::min(step, batch - first),
                 result.data() + first * config.num_classes, {});
    return result;
  }

  std::vector<std::vector<Gradients>> run(std::span<const float> images, int64_t batch,
                                          const Targets& targets, const GradientOptions& options) {
    std::vector<std::vector<Gradients>> results(static_cast<size_t>(batch));
    const int64_t step = together(batch, forward->floats_per_image() + kept_floats(options.depth) +
                                             backward->floats_per_image(1));
    for (int64_t first = 0; first < batch; first += step) {
      Part part{.images = images.data() + first * image_size(),
                .count = std::min(step, batch - first),
                .trace = {},
                .outputs = {},
                .logits = {}};
      run_part(&part, first, targets, options, results);
    }
    return results;
  }

  void run_part(Part* part, int64_t first, const Targets& targets, const GradientOptions& options,
                std::vector<std::vector<Gradients>>& results) {
    const int64_t K = config.num_classes;
    lay_out(options.depth, part);
    part->logits.resize(static_cast<size_t>(part->count * K));
    (*forward)(part->images, part->count, part->logits.data(), part->outputs, nullptr, part->trace);
    check_finite(part->logits);
    std::vector<std::vector<std::vector<float>>> wanted;  // [count][targets][K]
    size_t most = 0;
    for (int64_t b = 0; b < part->count; ++b) {
      const auto logits = std::span<const float>(part->logits).subspan(b * K, K);
      wanted.push_back(targets(static_cast<int>(first + b), logits));
      most = std::max(most, wanted.back().size());
      for (const std::vector<float>& target : wanted.back())
        results[first + b].push_back(start(*part, b, target, options));
    }
    for (size_t slot = 0; slot < most; slot += kMostSlots)
      run_slots(*part, first, wanted, slot, std::min<size_t>(kMostSlots, most - slot), options,
                results);
  }

  // The result of image b of a part and one target, without arrays.
  Gradients start(const Part& part, int64_t b, const std::vector<float>& target,
                  const GradientOptions& options) const {
    NESTVIT_CHECK(target.size() == static_cast<size_t>(config.num_classes));
    Gradients result;
    const float* logits = part.logits.data() + b * config.num_classes;
    result.logits.assign(logits, logits + config.num_classes);
    for (size_t k = 0; k < target.size(); ++k)
      result.target += static_cast<double>(target[k]) * result.logits[k];
    result.levels.resize(levels.size());
    if (options.depth == Depth::kPixels) {
      const float* image = part.images + b * image_size();
      result.pixels.values.assign(image, image + image_size());
    }
    return result;
  }

  // Targets [slot, slot + count) of each image; those that an image lacks are zeros.
  void run_slots(const Part& part, int64_t first,
                 const std::vector<std::vector<std::vector<float>>>& wanted, size_t slot,
                 size_t count, const GradientOptions& options,
                 std::vector<std::vector<Gradients>>& results) {
    const size_t images = wanted.size(), K = static_cast<size_t>(config.num_classes);
    std::vector<float> targets(count * images * K);
    std::vector<Gradients*> to(count * images);
    for (size_t v = 0; v < count; ++v)
      for (size_t b = 0; b < images; ++b) {
        if (slot + v >= wanted[b].size()) continue;
        std::copy(wanted[b][slot + v].begin(), wanted[b][slot + v].end(),
                  targets.begin() + static_cast<int64_t>((v * images + b) * K));
        to[v * images + b] = &results[first + b][slot + v];
      }
    (*backward)({.B = part.count,
                 .trace = part.trace,
                 .outputs = part.outputs,
                 .slots = static_cast<int64_t>(count),
                 .targets = targets.data(),
                 .results = to,
                 .options = options});
  }
};

GradientEngine::GradientEngine(const LoadedModel& model, int threads)
    : impl_(std::make_unique<Impl>(model, threads)) {}
GradientEngine::~GradientEngine() = default;

std::vector<float> GradientEngine::logits(std::span<const float> images, int batch) const {
  check_images(impl_->config, images, batch);
  std::vector<float> result;
  with_memory(impl_->config,
              [&] { impl_->compute.run([&] { result = impl_->logits(images, batch); }); });
  return result;
}

std::vector<std::vector<Gradients>> GradientEngine::run(std::span<const float> images, int batch,
                                                        const Targets& targets,
                                                        const GradientOptions& options) const {
  check_images(impl_->config, images, batch);
  std::vector<std::vector<Gradients>> results;
  with_memory(impl_->config, [&] {
    impl_->compute.run([&] { results = impl_->run(images, batch, targets, options); });
  });
  return results;
}

const NestConfig& GradientEngine::config() const { return impl_->config; }

int GradientEngine::threads() const { return impl_->compute.threads(); }

}  // namespace nestvit
