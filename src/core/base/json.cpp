// Parses by nlohmann's library, with a limit on depth and its exceptions made into Errors.
#include "base/json.h"

#include <fmt/format.h>
#include <nestvit/error.h>

namespace nestvit {

nlohmann::json parse_json(std::string_view text) {
  using nlohmann::json;
  static constexpr int kDeepest = 32;
  const auto limit_depth = [](int depth, json::parse_event_t, json&) {
    if (depth > kDeepest) throw Error(fmt::format("it is nested deeper than {} levels", kDeepest));
    return true;
  };
  try {
    return json::parse(text, limit_depth);
  } catch (const json::parse_error& e) {
    throw Error(fmt::format("it is not valid JSON at byte {}", e.byte));
  } catch (const json::out_of_range&) {
    throw Error("it has a number outside the range of a double");
  }
}

}  // namespace nestvit
