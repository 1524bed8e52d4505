// The torch-free forward: a model loaded once, run on float input.
//
//   const Engine engine(load_model("runs/pets/best"), {.threads = 2});
//   const Output output = engine.run(pixels, 8);  // pixels: [8, channels, S, S]
//   // output.logits: [8, K], image by image
#pragma once

#include <nestvit/number_type.h>

#include <memory>
#include <span>
#include <vector>

#include "runtime/measure/profile.h"
#include "weights/model_dir.h"

namespace nestvit {

struct EngineOptions {
  // 0: as many as the process may use (affinity, cgroup quota, OMP_NUM_THREADS).
  int threads = 0;
  // kBf16: products round their operands to bf16; needs AVX512_BF16. kInt8: products round them to
  // 8-bit integers; runs on every processor, though without AVX2 far slower than f32.
  NumberType precision = NumberType::kF32;
};

struct LevelOutput {
  std::vector<int64_t> shape;  // [B, T, N, C]
  std::vector<float> values;
};

struct Output {
  std::vector<float> logits;  // [B, K]
  // The output of each level's last encoder layer, only when asked for.
  std::vector<LevelOutput> levels;
};

class Engine {
 public:
  // Throws UsageError where the processor does not allow the precision.
  explicit Engine(const LoadedModel& model, const EngineOptions& options = {});
  ~Engine();
  // `input` is [batch, channels, S, S], normalised. Thread-safe: calls queue up. Throws Error for a
  // wrong size.
  Output run(std::span<const float> input, int batch, bool features = false) const;
  // Runs the forward `runs` times and returns where the time goes, summed over runs and threads.
  // Throws as run().
  Profile profile(std::span<const float> input, int batch, int runs) const;
  const NestConfig& config() const;
  // The threads that compute: OMP_THREAD_LIMIT may allow fewer than the options ask for.
  int threads() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestvit
