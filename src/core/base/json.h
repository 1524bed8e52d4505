// Reads JSON that may be hostile. Include this only where JSON is read: the library is large.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace nestvit {

// Throws Error ("it is not valid JSON at byte 7") for text that is not JSON, that is nested deeper
// than 32 levels, or that holds a number outside the range of a double.
nlohmann::json parse_json(std::string_view text);

}  // namespace nestvit
