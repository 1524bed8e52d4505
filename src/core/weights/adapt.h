// Weights for a model of another image size, another number of classes, or grey images, from which
// fine-tuning starts. reference.md F.6.
#pragma once

#include <cstdint>

#include "weights/model_dir.h"
#include "weights/posembed.h"

namespace nestvit {

// kAuto: the head is kept when the number of classes stays, else zeroed, but for
// AdaptOptions::rows.
enum class ReinitHead { kAuto, kZeroAll, kRandom };

struct AdaptOptions {
  PosEmbedResize pos_embed = PosEmbedResize::kAuto;
  ReinitHead head = ReinitHead::kAuto;
  uint64_t seed = 0;  // of kRandom
  // For each class the class of the weights whose row of the head it takes, -1: a row of zeros.
  // Empty: the head stays whole or is new. Only with kAuto.
  std::vector<int> rows = {};
};

// The tensors of `from`, fitted to `to`: position embeddings resized, the head replaced when its
// classes change or when asked, the first kernel summed over colours for grey images. All else
// must fit: throws Error that names the first tensors that do not.
TensorMap adapt_tensors(const LoadedNetwork& from, const Architecture& to,
                        const AdaptOptions& options = {});

// Whether adapt_tensors makes a new head.
bool replaces_head(const Architecture& from, const Architecture& to, ReinitHead head);

}  // namespace nestvit
