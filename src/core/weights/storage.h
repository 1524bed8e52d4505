// Weights stored in fewer bits than they are read into: small files, whatever the model then
// computes in.
#pragma once

#include <nestvit/number_type.h>

#include "weights/tensor.h"

namespace nestvit {

// What a file holds for `tensors`, f32 under timm's names. The weights of a NesT's linear layers
// and convolutions, but those of patch embedding and head, become BF16; or I8 with a scale for each
// output channel, F32 [C'], under NAME_scale. They are the ones whose products compute in those
// types, so a model stored in the type that it computes in answers as the one it was made from.
// Throws Error that names the tensor where a number is so large that it could become infinity.
TensorMap stored(const TensorMap& tensors, NumberType storage);

// Throws Error unless a file's `tensors` have the types that stored() gives them; `origin` names
// the file.
void check_storage(const TensorMap& tensors, NumberType storage, const std::string& origin);

// What rounding did to a tensor: |rounded - before| / |before|, Euclidean norms.
struct Rounding {
  std::string name;
  double relative = 0;
};

// The tensor that lost most between `before` and `after`, both f32 with the same names and shapes.
Rounding worst_rounding(const TensorMap& before, const TensorMap& after);

// Of what a file holds, I8 tensors with their scales (Tensor::scaled). Nothing is copied. Throws
// Error for a scale that is missing, of another type or length, negative or so large that a product
// could be infinite; `origin` names the file.
TensorMap with_scales(TensorMap tensors, const std::string& origin);

}  // namespace nestvit
