// nestvit train --help-keys: every key of the recipe. docs/recipe-keys.md is what it prints.
#pragma once

#include <string>

namespace nestvit::cli {

// Markdown.
std::string recipe_keys_page();

}  // namespace nestvit::cli
