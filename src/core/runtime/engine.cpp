// The engine: checks its input, cuts large batches into parts that need bounded memory, and runs
// them on its own thread.
#include "runtime/engine.h"

#include <algorithm>
#include <optional>

#include "base/system/processors.h"
#include "runtime/call.h"
#include "runtime/compute_thread.h"
#include "runtime/forward.h"
#include "runtime/precision.h"

namespace nestvit {
namespace {

// Images that go through the forward together: once every matrix product fills the caches, more of
// them cost memory and bring no speed.
constexpr int64_t kMostImages = 32;
constexpr int64_t kMostFloats = 64 << 20;  // 256 MB of buffers

}  // namespace

struct Engine::Impl {
  const NestConfig config;
  const std::vector<Level> levels;
  ComputeThread compute;
  std::optional<Forward> forward;  // lives and dies on the compute thread
  int64_t together = 0;            // images of one call of it

  Impl(const LoadedModel& model, const EngineOptions& options)
      : config(model.config), levels(geometry(config)), compute(thread_count(options.threads)) {
    check_processor(options.precision);
    with_memory(config, [&] {
      compute.run([&] { forward.emplace(model, compute.threads(), options.precision); });
    });
    together = std::clamp<int64_t>(kMostFloats / forward->floats_per_image(), 1, kMostImages);
  }
  ~Impl() {
    compute.run([this] { forward.reset(); });
  }

  int64_t image_size() const {
    return int64_t{config.in_channels} * config.image_size * config.image_size;
  }

  Output run(std::span<const float> input, int64_t batch, bool features,
             Profile* profile = nullptr) {
    Output output;
    output.logits.resize(batch * config.num_classes);
    if (features)
      for (const Level& level : levels) {
        const int64_t size = batch * level.blocks * level.tokens * level.width;
        output.levels.push_back(
            {{batch, level.blocks, level.tokens, level.width}, std::vector<float>(size)});
      }
    for (int64_t first = 0; first < batch; first += together) {
      std::vector<float*> destinations;
      for (LevelOutput& level : output.levels)
        destinations.push_back(level.values.data() + first * (level.values.size() / batch));
      (*forward)(input.data() + first * image_size(), std::min(together, batch - first),
                 output.logits.data() + first * config.num_classes, destinations, profile);
    }
    return output;
  }
};

Engine::Engine(const LoadedModel& model, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(model, options)) {}
Engine::~Engine() = default;

Output Engine::run(std::span<const float> input, int batch, bool features) const {
  check_images(impl_->config, input, batch);
  Output output;
  with_memory(impl_->config,
              [&] { impl_->compute.run([&] { output = impl_->run(input, batch, features); }); });
  return output;
}

Profile Engine::profile(std::span<const float> input, int batch, int runs) const {
  check_images(impl_->config, input, batch);
  Profile profile(static_cast<int>(impl_->levels.size()), impl_->compute.threads());
  with_memory(impl_->config, [&] {
    impl_->compute.run([&] {
      for (int i = 0; i < runs; ++i) impl_->run(input, batch, /*features=*/false, &profile);
    });
  });
  return profile;
}

const NestConfig& Engine::config() const { return impl_->config; }

int Engine::threads() const { return impl_->compute.threads(); }

}  // namespace nestvit
