// The torch-free forward: a model loaded once, run on float input. The reference path of the
// runtime.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

struct EngineOptions {
  int threads = 0;  // 0: as many as the process may use (affinity, cgroup quota, OMP_NUM_THREADS)
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
  explicit Engine(const Model& model, const EngineOptions& options = {});
  ~Engine();
  // `input` is [batch, channels, S, S], normalised. Thread-safe: calls queue up. Throws Error for a
  // wrong size.
  Output run(std::span<const float> input, int batch, bool features = false) const;
  const NestConfig& config() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestvit
