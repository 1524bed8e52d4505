// The fast forward of a NesT on the CPU (fast_forward.cpp): what forward.cpp computes, in few
// passes over memory. An encoder layer is one parallel loop over pieces of tokens; a piece goes
// from attention to the next layer's queries in a core's own cache.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/profile.h"
#include "runtime/weights.h"

namespace nestvit {

class Forward {
 public:
  // Packs the weights. Construct, call and destroy it on one ComputeThread of `threads`.
  Forward(const LoadedModel& model, int threads, NumberType precision = NumberType::kF32);

  // images [B, channels, S, S] -> logits [B, K]. `features` is empty, or says per level where the
  // output of its last encoder layer goes, [B, T, N, C]. The number of threads changes no bit, nor
  // do the other images of the batch. What it takes is added to `profile`, of as many levels and
  // threads.
  void operator()(const float* images, int64_t B, float* logits,
                  const std::vector<float*>& features, Profile* profile = nullptr);

  // Floats of the buffers that each image of a call takes.
  int64_t floats_per_image() const { return sizes_.stream + sizes_.wide + sizes_.groups; }

 private:
  struct Piece {
    int64_t first, rows;  // of the level's B * T * N
  };
  struct Sizes {
    int64_t stream, wide, groups;  // floats per image
    int64_t scratch;               // floats per thread
  };

  void patch_embedding(const float* images);
  void plane_row(const Level& level, int64_t b, int64_t y, float* row) const;
  void conv_pool(const PackedLevel& level, const Level& below);
  void encode(const PackedLevel& level);
  void measure_groups(const PackedNorm& norm, const Level& level);
  void normalise(const PackedNorm& norm, const Level& level, const Piece& piece, float* y) const;
  void queries(const PackedLevel& level, const PackedLayer& layer, const Piece& piece, float* qkv,
               float* scratch) const;
  void attention(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                 const float* qkv, float* scratch) const;
  void mlp(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
           float* scratch) const;
  void head(const Level& level, float* logits);

  template <class Body>
  static void each_stretch(const Piece& piece, int64_t size, const Body& body);
  template <class Body>
  void timed(const Level& level, Part part, const Body& body) const;
  std::vector<Piece> pieces(const PackedLevel& level) const;
  float* scratch_of_thread() const;
  Sizes sizes() const;
  void reserve();

  const NestConfig config_;
  const int threads_;
  const PackedModel model_;
  const kernels::InferenceKernels& kernels_;
  decltype(kernels::InferenceKernels::attend)
      attend_;  // in bf16 for all types but f32, where it can
  const Sizes sizes_;
  int64_t B_ = 0;               // images of this call
  Profile* profile_ = nullptr;  // of this call
  Buffer stream_, wide_, scratch_, groups_;
  float* x_ = nullptr;  // the residual stream [B, T, N, C]; planes of ConvPool
  float* w_ = nullptr;  // queries, keys and values, twice; planes of ConvPool
  float* s_ = nullptr;  // scratch of each thread
  float* g_ = nullptr;  // scale and shift of group norm, [B, 2, C]
};

}  // namespace nestvit
