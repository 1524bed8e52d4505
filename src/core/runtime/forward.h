// The forward of a NesT on the CPU: images to logits in few passes over memory. An encoder layer is
// one parallel loop over pieces of tokens; a piece goes from attention to the next layer's queries
// in a core's own cache. Group norm needs the sums over an image, so its layers are five loops.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/inference.h"
#include "model/nest.h"
#include "runtime/buffer.h"
#include "runtime/measure/profile.h"
#include "runtime/packed/weights.h"
#include "runtime/pieces.h"

namespace nestvit {

// What a backward reads of a forward: arrays [B, T, N, C] of a level that the forward fills.
struct LayerTrace {
  float* before;   // x before the layer
  float* between;  // x + attention(norm1(x))
};
struct LevelTrace {
  float* input;                    // before the position embedding
  std::vector<LayerTrace> layers;  // of all layers, or of none
};

class Forward {
 public:
  // Packs the weights. Construct, call and destroy it on one ComputeThread of `threads`.
  Forward(const LoadedModel& model, int threads, NumberType precision = NumberType::kF32);

  // images [B, channels, S, S] -> logits [B, K]. `features` is empty, or says per level where the
  // output of its last encoder layer goes, [B, T, N, C]. Neither the number of threads nor the
  // other images of the batch change a bit. Adds the time that it takes to `profile`, which has as
  // many levels and threads. `trace` is empty, or has an entry for each level.
  void operator()(const float* images, int64_t B, float* logits,
                  const std::vector<float*>& features, Profile* profile = nullptr,
                  const std::vector<LevelTrace>& trace = {});

  // Once more, for images of the last call: what ConvPool of `level` makes of x [B, T, N, C], the
  // output of the level below, before its max-pool, bit by bit. -> [B, size, size, C'], a plane of
  // the level below, until the next call. `convolved` has the same shape and gets the values before
  // the norm, unless it is null.
  const float* aggregate(int level, const float* x, float* convolved);

  const PackedModel& model() const { return model_; }

  // Floats of the buffers that each image of a call takes.
  int64_t floats_per_image() const;

 private:
  struct Sizes {
    int64_t residual, wide, group_affine;  // floats per image
    int64_t scratch;                       // floats per thread
  };

  void patch_embedding(const float* images);
  void conv_pool(const PackedLevel& level, const Level& below);
  float* convolve(const PackedLevel& level, const Level& below, const float* x, float* convolved);
  LayerTrace traced(const Level& level, size_t layer) const;
  void keep(const Level& level, const Piece& piece, float* array) const;
  void encode(const PackedLevel& level);
  void encode_by_piece(const PackedLevel& level);
  void encode_by_step(const PackedLevel& level);
  void head(const Level& level, float* logits);

  // Steps of an encoder layer, on a piece.
  void add_position(const PackedLevel& level, const Piece& piece) const;
  void queries(const PackedLevel& level, const PackedLayer& layer, const Piece& piece, float* qkv,
               float* scratch) const;
  void attention(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
                 const float* qkv, float* scratch) const;
  void mlp(const PackedLevel& level, const PackedLayer& layer, const Piece& piece,
           float* scratch) const;
  void normalise(const PackedNorm& norm, const Level& level, const Piece& piece, float* y) const;
  void measure_groups(const PackedNorm& norm, const Level& level);

  template <class Body>
  void timed(const Level& level, Part part, const Body& body) const;
  template <class Body>
  void each_piece(const PackedLevel& level, const Body& body) const;
  float* scratch_of_thread() const;
  Sizes sizes() const;
  void reserve();

  const NestConfig config_;
  const int threads_;
  const PackedModel model_;
  const kernels::InferenceKernels& kernels_;
  // In bf16 where that is the precision, or int8 is, and the processor has bf16 products.
  decltype(kernels::InferenceKernels::attend) attend_;
  const Sizes sizes_;

  // Of this call.
  int64_t B_ = 0;
  Profile* profile_ = nullptr;
  const std::vector<LevelTrace>* trace_ = nullptr;
  Buffer residual_;      // x, the residual stream [B, T, N, C]
  Buffer wide_;          // queries, keys and values, twice; the planes of ConvPool
  Buffer group_affine_;  // scale and shift of each image's channels [B, 2, C], for group norm
  Buffer scratch_;       // of each thread
};

}  // namespace nestvit
