// The backward of a NesT on the CPU: from targets over its logits to gradients of what the forward
// computed, down to the image. It recomputes what the trace of the forward leaves out: norms,
// queries, the hidden layer, ConvPool's convolution.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/inference.h"
#include "kernels/training.h"
#include "runtime/buffer.h"
#include "runtime/forward.h"
#include "runtime/gradients.h"
#include "runtime/norms.h"
#include "runtime/packed/transposed.h"

namespace nestvit {

// What is explained, of the last call of the forward.
struct BackwardCall {
  int64_t B;
  const std::vector<LevelTrace>& trace;    // with layers of every level that the depth reaches
  const std::vector<float*>& outputs;      // of each level, [B, T, N, C]
  int64_t slots;                           // V: gradients of as many targets are carried at once
  const float* targets;                    // [V, B, K]
  const std::vector<Gradients*>& results;  // [V, B]; null where an image has fewer targets
  GradientOptions options;
};

class Backward {
 public:
  // Packs the transposed weights. Construct, call and destroy it on the ComputeThread of `forward`,
  // which outlives it and has as many threads.
  Backward(const LoadedModel& model, Forward& forward, int threads);

  // Fills values and gradients of the results. Neither the number of threads nor the other images
  // and targets change a bit.
  void operator()(const BackwardCall& call);

  // Floats of the buffers that each image of a call takes with as many targets.
  int64_t floats_per_image(int64_t slots) const;

 private:
  struct Sizes {
    int64_t rows;           // floats of the widest residual stream of an image
    int64_t wide_image;     // floats of wide_ for each image,
    int64_t wide_gradient;  // and for each of its targets
    int64_t groups;         // the widest C, with group norm
    int64_t scratch;        // floats per thread
  };

  void head(const PackedLevel& level);
  void layer(const PackedLevel& level, size_t j);
  void conv_pool(const PackedLevel& level, const Level& below);
  void convolve(const PackedLevel& level, const Level& below, const float* convolved,
                const float* plane);
  void patch_embedding();

  // Steps of an encoder layer, on a piece.
  void mlp(const PackedLevel& level, size_t j, const Piece& piece, float* scratch);
  void gelu(const float* h, int64_t rows, int64_t M, float* dh, float* scratch) const;
  void proj(const PackedLevel& level, size_t j, const Piece& piece, float* scratch);
  void attention(const PackedLevel& level);
  void queries(const PackedLevel& level, size_t j, const Piece& piece, float* scratch);
  void add_norm(const PackedNorm& norm, const Level& level, const float* x, const Piece& piece,
                float* scratch);

  void measure(const PackedNorm& norm, const Level& level, const float* x);
  void measure_backward(const PackedNorm& norm, const Level& level, const float* x);
  norms::Backward norm_of(const PackedNorm& norm, const Level& level, const float* x,
                          int64_t slot) const;

  template <class Body>
  void each_piece(const PackedLevel& level, const Body& body) const;
  template <class Place>
  void give(const float* from, int64_t count, const Place& place) const;
  template <class Place>
  void give_values(const float* from, int64_t count, const Place& place) const;
  template <class To, class From>
  void copy_images(int64_t count, const To& to, const From& from) const;
  // The gradients of target `slot`, in an array whose images have `image` floats.
  int64_t at(int64_t slot, int64_t image) const { return slot * call_->B * image; }
  bool conservative() const { return call_->options.propagation == Propagation::kConservative; }
  float* scratch_of_thread() const;
  Sizes sizes() const;
  void reserve();

  const NestConfig config_;
  const int threads_;
  Forward& forward_;
  const PackedModel& model_;
  const TransposedModel transposed_;
  const kernels::InferenceKernels& kernels_;
  const kernels::TrainingKernels& training_;
  const Sizes sizes_;

  const BackwardCall* call_ = nullptr;
  Buffer d_;       // the gradient of the residual stream [V, B, T, N, C]
  Buffer branch_;  // of a branch: of the norm's output, or of attention's
  Buffer wide_;    // queries, keys and values and their gradients; the planes of ConvPool
  Buffer groups_, group_gradients_;  // of group norm: [B, 2, C] and [V, B, 4, C]
  Buffer scratch_;                   // of each thread
};

}  // namespace nestvit
