// Weights in parts, as transformers saves large ones: an index (model.safetensors.index.json) says
// which file beside it holds which tensor.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "weights/tensor.h"

namespace nestvit {

// Reads one part.
using ReadPart = std::function<TensorMap(const std::filesystem::path&)>;

// The tensors of all parts. Throws Error that names the index: no such file, a part that is not a
// file beside the index, more than a thousand parts, tensors that are not where it says.
TensorMap read_parts(const std::filesystem::path& index, const ReadPart& read);

// Whether the file is one of several parts by its name: "model-00002-of-00005.safetensors".
bool is_one_of_parts(const std::filesystem::path& file);

}  // namespace nestvit
