// What people call the classes of a model.
#pragma once

#include <string>

#include "weights/model_dir.h"

namespace nestvit::cli {

// A class in words: "tench" for a model whose label is "n01440764".
const std::string& spoken(const ModelContent& model, int index);

// The class that a user means by `word`: its label, else its description or the part of that before
// the first comma, else its index. `option` is named in errors. Throws UsageError with the nearest
// name, and for a word that means several classes.
int class_named(const ModelContent& model, const std::string& word, const std::string& option);

}  // namespace nestvit::cli
