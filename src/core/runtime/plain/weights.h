// What a forward needs besides its input: the weights, packed once when a model is loaded, and the
// buffers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/nest.h"
#include "runtime/plain/gemm.h"
#include "weights/model_dir.h"

namespace nestvit {

// Layer and group norm: gamma and beta. Batch norm: its running statistics folded into a scale and
// a shift.
struct PackedNorm {
  Norm kind;
  std::vector<float> scale, shift;  // [C]
};

struct PackedLayer {
  PackedNorm norm1;
  Linear qkv;  // multi-head: q, k and v, [3C, C]; multi-query: q alone, [C, C]
  std::optional<Linear>
      kv;       // multi-query only: the one key and the one value of all heads, [2D, C]
  Linear proj;  // columns h*D+d, as attention leaves its output (the file has d*H+h)
  PackedNorm norm2;
  Linear fc1, fc2;
};

struct PackedLevel {
  Level shape;
  std::optional<Conv3x3> pool_conv;  // not at level 0
  std::optional<PackedNorm> pool_norm;
  std::vector<float> position;  // [T, N, C]
  std::vector<PackedLayer> layers;
};

struct PackedModel {
  Linear patch_embedding;  // [C0, channels * e * e]
  std::vector<PackedLevel> levels;
  PackedNorm norm;
  Linear head;  // [K, C]
};

// Throws Error when `model.tensors` is not exactly what its configuration asks for.
PackedModel pack(const LoadedModel& model);

// attn.proj's weight [C, C] with the columns as attention leaves its output, h*D+d; the file's,
// timm's, are d*H+h.
std::vector<float> by_heads(const std::vector<float>& weight, const Level& level);

// Floats that one image takes in each of a forward's buffers.
struct BufferSizes {
  int64_t stream = 0;  // x: the residual stream, and the planes of ConvPool
  int64_t branch =
      0;  // y: the normalised input of a branch, attention's output, and the planes of ConvPool
  int64_t wide =
      0;  // w: queries, keys and values; the MLP's hidden layer; patches; the planes of ConvPool
  int64_t total() const { return stream + branch + wide; }
};
BufferSizes buffer_sizes(const NestConfig& config);

// Floats at a cache line's border, uninitialised; only ever grows.
class Buffer {
 public:
  // Room for `count` floats; what was in it is lost when it grows. Throws Error when there is no
  // memory.
  float* reserve(int64_t count);

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float[], Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace nestvit
