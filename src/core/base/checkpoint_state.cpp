// Line by line, without a parser of protobuf text: one key is all that is needed.
#include "base/checkpoint_state.h"

#include <algorithm>

namespace nestvit {
namespace {

// The value of `key: "value"` in `line`; nothing when it is another line.
std::optional<std::string> quoted(std::string_view line, std::string_view key) {
  const size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos || !line.substr(start).starts_with(key)) return std::nullopt;
  line.remove_prefix(start + key.size());
  const size_t colon = line.find_first_not_of(" \t");
  if (colon == std::string_view::npos || line[colon] != ':') return std::nullopt;
  const size_t open = line.find('"', colon);
  if (open == std::string_view::npos) return std::nullopt;
  std::string value;
  for (size_t i = open + 1; i < line.size(); ++i) {
    if (line[i] == '"') return value;
    if (line[i] == '\\' && i + 1 < line.size()) ++i;
    value += line[i];
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> newest_checkpoint(std::string_view text) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const auto path = quoted(text.substr(begin, end - begin), "model_checkpoint_path");
    if (path && !path->empty()) return path;
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace nestvit
