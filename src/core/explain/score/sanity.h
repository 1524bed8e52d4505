// Sanity by random parameters (Adebayo et al. 2018): from the head downwards one part of the model
// after the other is drawn anew, and the maps should stop being what they were. It finds bugs; it
// ranks nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/nest.h"
#include "weights/model_dir.h"

namespace nestvit {

struct ModelPart {
  std::string name;                     // "head", "level 2, layer 7", "pooling before level 2"
  std::vector<std::string> parameters;  // running statistics are none
};
// From the head to the patch embedding: each parameter in one part.
std::vector<ModelPart> parts_from_head(const NestConfig& config);

// The model with the parameters of the first `count` parts as initial_tensors() draws them.
LoadedModel randomised(const LoadedModel& model, const std::vector<ModelPart>& parts, size_t count,
                       uint64_t seed);

// The maps [method][image][cell] of a model, each of one square size; always of the same images and
// classes.
using MapsOf = std::function<std::vector<std::vector<std::vector<double>>>(const LoadedModel&)>;

// Means over images and seeds of the likeness to the maps of the model as trained; NaN where it is
// undefined for all (constant maps).
struct SanityScore {
  double spearman = 0, spearman_of_magnitudes = 0;
  double similarity = 0;  // structural, of maps divided by their largest magnitude
};
struct SanityRow {
  std::string part;  // the last one that was drawn anew; the first row: none was
  std::vector<SanityScore> methods;
};

struct SanityOptions {
  int seeds = 3;
  uint64_t seed = 42;  // draws are never those of a training with the same seed
  std::function<void(int64_t done, int64_t all)> progress = {};  // models explained
};
std::vector<SanityRow> sanity(const LoadedModel& model, const MapsOf& maps_of,
                              const SanityOptions& options = {});

}  // namespace nestvit
