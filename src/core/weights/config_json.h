// config.json of a model directory, to and from LoadedNetwork (all but its tensors).
#pragma once

#include <string>
#include <string_view>

#include "weights/model_dir.h"

namespace nestvit {

// timm's config.json (nested or legacy flat) or ours. Throws Error that names `origin`.
LoadedNetwork parse_network_config(std::string_view text, const std::string& origin);
// Throws as as_nest() and require_head(), too.
LoadedModel parse_config(std::string_view text, const std::string& origin);

// The text that timm loads, where timm has the model, with the exact description under "nestvit"
// and the type of weights that are not stored in f32.
std::string config_text(const LoadedNetwork& model, NumberType storage = NumberType::kF32);

// timm's name for the NesT ("nest_tiny_jx"); the variant's own name where timm has no such network.
std::string timm_architecture(const NestConfig& config);
// Whether timm's model of that name has the same widths, heads and depths.
bool timm_knows_sizes(const NestConfig& config);

}  // namespace nestvit
