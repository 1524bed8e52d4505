// The class names of a config.json, under timm's keys (label_names, labels, label_descriptions) or
// transformers' (id2label, label2id). Include this only where config.json is read: the JSON library
// is large.
#pragma once

#include <nlohmann/json.hpp>

#include "weights/model_dir.h"

namespace nestvit {

// How many classes the names are for; 0 where there are none. `pretrained` is timm's
// pretrained_cfg, which may hold names, too. Throws Error that names the key.
int classes_named(const nlohmann::json& root, const nlohmann::json& pretrained);

// Fills in labels, "class 7" where a class has no name, and descriptions. Throws Error that names
// the key, also for names of more than `classes` classes, and for a list of fewer.
void read_labels(const nlohmann::json& root, const nlohmann::json& pretrained, int classes,
                 ModelContent& model);

}  // namespace nestvit
