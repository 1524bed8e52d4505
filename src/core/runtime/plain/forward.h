// The forward of a NesT on the CPU, one function per step of the paper, in model order
// (forward.cpp).
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/plain/weights.h"

namespace nestvit {

class Forward {
 public:
  // Packs the weights. Everything happens on the thread that calls, with `threads` OpenMP threads:
  // construct, call and destroy it on one ComputeThread.
  Forward(const LoadedModel& model, int threads);

  // images [B, channels, S, S] -> logits [B, K]. `features` is empty, or says per level where the
  // output of its last encoder layer goes, [B, T, N, C].
  void operator()(const float* images, int64_t B, float* logits,
                  const std::vector<float*>& features);

 private:
  void patch_embedding(const float* images);
  void conv_pool(const PackedLevel& level, const Level& below);
  void add_position(const PackedLevel& level);
  void attention(const Level& level, const PackedLayer& layer);
  void mlp(const Level& level, const PackedLayer& layer);
  void head(const Level& level, float* logits);

  void norm(const PackedNorm& norm, const Level& level, const float* x, float* y);
  void reserve();

  const NestConfig config_;
  const int threads_;
  const PackedModel model_;
  const BufferSizes sizes_;
  int64_t B_ = 0;  // images of this call
  Buffer stream_, branch_, wide_, scores_;
  std::vector<double> group_sums_;  // group norm's scratch, [B, 2 C]
  float *x_ = nullptr, *y_ = nullptr, *w_ = nullptr,
        *s_ = nullptr;  // the buffers' floats; see BufferSizes
};

}  // namespace nestvit
