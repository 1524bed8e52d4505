// The torch-free forward: a model loaded once, run on float input.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/profile.h"
#include "runtime/weights.h"
#include "weights/model_dir.h"

namespace nestvit {

struct EngineOptions {
  int threads = 0;  // 0: as many as the process may use (affinity, cgroup quota, OMP_NUM_THREADS)
  // kBf16: products round their operands to bf16, on processors with AVX512_BF16; kInt8: to 8-bit
  // integers, on all, though without AVX2 far slower than f32. Throws UsageError where the
  // processor does not allow it.
  NumberType precision = NumberType::kF32;
};

struct LevelOutput {
  std::vector<int64_t> shape;  // [B, T, N, C]
  std::vector<float> values;
};

struct Output {
  std::vector<float> logits;  // [B, K]
  std::vector<LevelOutput>
      levels;  // only when asked for: output of each level's last encoder layer
};

class Engine {
 public:
  explicit Engine(const LoadedModel& model, const EngineOptions& options = {});
  ~Engine();
  // `input` is [batch, channels, S, S], normalised. Thread-safe: calls queue up. Throws Error for a
  // wrong size.
  Output run(std::span<const float> input, int batch, bool features = false) const;
  // Runs it `runs` times and says where the time goes, summed over runs and threads. Throws as
  // run().
  Profile profile(std::span<const float> input, int batch, int runs) const;
  const NestConfig& config() const;
  int threads() const;  // that compute: OMP_THREAD_LIMIT may allow fewer than were asked for

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestvit
