// Letter case of ASCII, whatever the locale, and lines of a limited width.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nestvit {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string ascii_lower(std::string_view text);

// `text` in lines of at most `columns`, where its words allow that, each after `indent` spaces but
// for the first, which continues a line of that many characters. Line breaks of `text` stay.
std::string wrapped(std::string_view text, size_t columns, size_t indent);

}  // namespace nestvit
