// Any weights of a NesT (and of baselines that were trained here), told apart by content: our model
// directory, timm and Hugging Face folders, single safetensors and torch.save files, either in
// parts, official checkpoint folders. GELU, pooling and preprocessing follow the source
// (reference.md A.7).
#pragma once

#include <filesystem>

#include "weights/identify.h"
#include "weights/model_dir.h"

namespace nestvit {

struct ImportOptions {
  bool prefer_ema = false;  // take a checkpoint's averaged weights where it has them
  // false: weights without a classifier will do, too, and come back headless (model_dir.h).
  bool needs_head = true;
  // kLater: the tensors of a safetensors file keep the types that it holds.
  Widening widening = Widening::kToF32;
  // About weights without a description; names and shapes say the rest.
  Hints hints;
};

// Imports from a local path, which hub/ may have fetched. Weights without a description are
// identified by shapes; properties that shapes do not show (labels, the pool padding of timm's two
// kinds) are assumed and reported in a warning. Throws Error: nothing there, an unknown kind of
// file, not a NesT, tensors that do not fit, no classifier where one is needed.
LoadedNetwork import_network(const std::filesystem::path& path, const ImportOptions& options = {});
LoadedModel import_model(const std::filesystem::path& path, const ImportOptions& options = {});

// The description alone, where there is one beside the tensors (a model directory); else as
// import_network.
LoadedNetwork import_network_config(const std::filesystem::path& path,
                                    const ImportOptions& options = {});

}  // namespace nestvit
