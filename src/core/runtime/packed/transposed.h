// The weights of a backward: those of the forward, transposed and packed once. Always f32.
#pragma once

#include <optional>
#include <vector>

#include "runtime/packed/convolution.h"
#include "runtime/packed/linear.h"
#include "weights/model_dir.h"

namespace nestvit {

// Of a linear layer y = x W^T + b with W [n, k], the layer dx = dy W, whose weight is W^T [k, n].
struct TransposedLayer {
  Linear queries_keys;  // [C, W - values]
  Linear values;        // [C, values]: C of them, or D under multi-query
  Linear proj;          // [C, C], rows h*D+d
  Linear fc1;           // [C, M]
  Linear fc2;           // [M, C]
};

struct TransposedLevel {
  // Of ConvPool: from C' to the C channels of the level below, with flipped kernels. Not at level
  // 0.
  std::optional<Convolution> conv;
  std::vector<TransposedLayer> layers;
};

struct TransposedModel {
  Linear patch_embedding;  // [channels * e * e, C0]
  std::vector<TransposedLevel> levels;
  Linear head;  // [C, K]
};

// Weights that are mapped from a file give their memory back to the system once they are packed.
// Throws as pack().
TransposedModel pack_transposed(const LoadedModel& model);

}  // namespace nestvit
