// JSON that may be hostile. Only for the files that read JSON: the library's header is large.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace nestvit {

// Throws Error ("it is no valid JSON at byte 7") for what is no JSON, nested deeper than 32 levels,
// or holds a number that no double holds.
nlohmann::json parse_json(std::string_view text);

}  // namespace nestvit
