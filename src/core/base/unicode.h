// Names as UTF-8, in the one form in which those that look the same are the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace nestvit {

// Calls `on` with the bytes and the code point of each letter of `text`; a byte that is not part of
// UTF-8 comes alone, with -1.
void for_each_letter(std::string_view text,
                     const std::function<void(std::string_view bytes, int32_t letter)>& on);

// `text` in Unicode's composed form, NFC: "é" may also be written as "e" and an accent, as macOS
// stores it. Nothing when `text` is not UTF-8.
std::optional<std::string> composed(std::string_view text);

// For messages: bytes that are not UTF-8, and control characters, become "\xE9".
std::string printable(std::string_view text);

}  // namespace nestvit
