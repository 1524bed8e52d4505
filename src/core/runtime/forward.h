// The forward of a NesT on the CPU: images to logits in few passes over memory. An encoder layer is
// one parallel loop over pieces of tokens; a piece goes from attention to the next layer's queries
// in a core's own cache. Group norm needs the sums over an image, so its layers are five loops.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/inference.h"
#include "model/nest.h"
#include "runtime/buffer.h"
#include "runtime/profile.h"
#include "runtime/weights.h"

namespace nestvit {

struct Piece {
  int64_t first, rows;  // of the B * T * N rows of a level
};

class Forward {
 public:
  // Packs the weights. Construct, call and destroy it on one ComputeThread of `threads`.
  Forward(const LoadedModel& model, int threads, NumberType precision = NumberType::kF32);

  // images [B, channels, S, S] -> logits [B, K]. `features` is empty, or says per level where the
  // output of its last encoder layer goes, [B, T, N, C]. Neither the number of threads nor the
  // other images of the batch change a bit. Adds the time that it takes to `profile`, which has as
  // many levels and threads.
  void operator()(const float* images, int64_t B, float* logits,
                  const std::vector<float*>& features, Profile* profile = nullptr);

  // Floats of the buffers that each image of a call takes.
  int64_t floats_per_image() const;

 private:
  struct Sizes {
    int64_t residual, wide, group_affine;  // floats per image
    int64_t scratch;                       // floats per thread
  };

  void patch_embedding(const float* images);
  void conv_pool(const PackedLevel& level, const Level& below);
  void plane_row(const Level& level, int64_t b, int64_t y, float* row) const;
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
  Buffer residual_;      // x, the residual stream [B, T, N, C]
  Buffer wide_;          // queries, keys and values, twice; the planes of ConvPool
  Buffer group_affine_;  // scale and shift of each image's channels [B, 2, C], for group norm
  Buffer scratch_;       // of each thread
};

// Cuts the rows of `images` images into about equal pieces, as many for each thread. A piece has at
// most `most` rows (at least 4), or up to 3 more where an image does not end with a group of four.
// Pieces are whole blocks where each thread gets as many blocks: a block's keys are then prepared
// once. Elsewhere they end where a group of four rows of an image does, because the rounding of
// Linear::strassen() depends on the group. For 2 threads and at most 256 rows:
//
//   4 images of one block of 196 rows   4 pieces of 196: a block each, two for each thread
//   3 images of one block of 196 rows   3 blocks cannot be shared evenly, so the 588 rows are cut
//                                       into 4 pieces of 144, 148, 148 and 148
//   3 images of one block of 49 rows    49 does not end with a group of four, so each image is cut
//                                       by itself, into 24 and 25
std::vector<Piece> pieces(int64_t images, const Level& level, int64_t most, int threads);

}  // namespace nestvit
