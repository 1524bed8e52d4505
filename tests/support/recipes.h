// What the tests of recipes share: the shipped configs, and data that is only described.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "run/recipe/resolve.h"

namespace nestvit {

inline std::filesystem::path config(const std::string& name) {
  return std::filesystem::path(NESTVIT_SOURCE_DIR) / "configs" / name;
}

// `side`: of the images.
inline DataFacts facts(const std::string& kind, int64_t train, int classes, int side) {
  DataFacts f;
  f.kind = kind;
  f.train_size = train;
  f.val_size = train / 5;
  f.num_classes = classes;
  f.short_side = side;
  return f;
}

inline std::string yaml(Recipe recipe) { return fields(recipe).to_yaml(); }
inline std::string value(Recipe recipe, const std::string& key) { return fields(recipe).get(key); }

}  // namespace nestvit
