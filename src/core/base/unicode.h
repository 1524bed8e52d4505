// Names as UTF-8, in the one form in which those that look the same are the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestvit {

// `text` in Unicode's composed form, NFC: "é" may also be written as "e" and an accent, as macOS
// stores it. Nothing when `text` is not UTF-8.
std::optional<std::string> composed(std::string_view text);

// For messages: bytes that are not UTF-8, and control characters, become "\xE9".
std::string printable(std::string_view text);

}  // namespace nestvit
