// Weights stored in fewer bits than f32, for small files: the model may compute in any type.
#pragma once

#include <nestvit/number_type.h>

#include "weights/tensor.h"

namespace nestvit {

// The tensors of a file that stores `tensors`, which are f32 under timm's names. The weights of a
// NesT's linear layers and convolutions, but those of patch embedding and head, become BF16; or I8
// with a scale for each output channel, F32 [C'], under NAME_scale. Those are the weights of
// products that compute in these types, so that a model answers the same whether its weights were
// rounded in the file or on the way into a product. Throws Error that names the tensor where a
// number is so large that it could become infinity.
TensorMap stored(const TensorMap& tensors, NumberType storage);

// Throws Error unless a file's `tensors` have the types that stored() gives them; `origin` names
// the file.
void check_storage(const TensorMap& tensors, NumberType storage, const std::string& origin);

// The change of a tensor by rounding: |rounded - before| / |before|, Euclidean norms.
struct Rounding {
  std::string name;
  double relative = 0;
};

// The tensor that lost most between `before` and `after`, both f32 with the same names and shapes.
Rounding worst_rounding(const TensorMap& before, const TensorMap& after);

// A file's tensors, where I8 tensors take their scales (Tensor::scaled). Copies nothing. Throws
// Error for a scale that is missing, of another type or length, negative or so large that a product
// could be infinite; `origin` names the file.
TensorMap with_scales(TensorMap tensors, const std::string& origin);

}  // namespace nestvit
