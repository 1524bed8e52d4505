// Weights stored in fewer bits than they are read into: small files, whatever the model then
// computes in.
#pragma once

#include "weights/tensor.h"

namespace nestvit {

enum class Storage { kF32, kBf16, kInt8 };

// What a file holds for `tensors`, f32 under timm's names. The weights of a NesT's linear layers
// and convolutions, but those of patch embedding and head, become BF16; or I8 with a scale for each
// output channel, F32 [C'], under NAME_scale. They are the ones whose products compute in those
// types, so a model stored in the type that it computes in answers as the one it was made from.
TensorMap stored(const TensorMap& tensors, Storage storage);

// Its inverse: I8 tensors times their scales, in f32. Throws Error for a scale that is missing, of
// another type or length, negative or not finite; `origin` names the file.
TensorMap unscaled(TensorMap tensors, const std::string& origin);

}  // namespace nestvit
