// config.json of a model directory, to and from Model (all but its tensors).
#pragma once

#include <string>
#include <string_view>

#include "weights/model_dir.h"

namespace nestvit {

// timm's config.json (nested or legacy flat) or ours. Throws Error that names `origin`.
Model parse_config(std::string_view text, const std::string& origin);

// What timm loads, where timm has the model, and the exact description under "nestvit".
std::string config_text(const Model& model);

}  // namespace nestvit
