// The case of letters by the C library, in a locale of its own.
#include "data/names.h"

#include <fmt/format.h>
#include <wctype.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <unordered_map>
#include <utility>

#include "base/unicode.h"

namespace nestvit {
namespace {

using namespace std::string_view_literals;

// Unicode's blanks and ends of lines, and what has no width: the byte order mark, and marks that
// allow or forbid a line break.
constexpr std::array kBlanks = {
    " "sv,      "\t"sv,     "\n"sv,     "\v"sv,     "\f"sv,     "\r"sv,     "\u0085"sv,
    "\u00a0"sv, "\u1680"sv, "\u2000"sv, "\u2001"sv, "\u2002"sv, "\u2003"sv, "\u2004"sv,
    "\u2005"sv, "\u2006"sv, "\u2007"sv, "\u2008"sv, "\u2009"sv, "\u200a"sv, "\u200b"sv,
    "\u2028"sv, "\u2029"sv, "\u202f"sv, "\u205f"sv, "\u2060"sv, "\u3000"sv, "\ufeff"sv};

// The small letters of UTF-8, as code points.
std::u32string without_case(std::string_view name) {
  static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  std::u32string letters;
  for_each_letter(name, [&](std::string_view bytes, int32_t letter) {
    const auto point =
        letter < 0 ? static_cast<unsigned char>(bytes.front()) : static_cast<char32_t>(letter);
    letters +=
        unicode ? static_cast<char32_t>(towlower_l(static_cast<wint_t>(point), unicode)) : point;
  });
  return letters;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto is_letter = [](char c) { return c > ' ' && c < 0x7F; };
  if (!text.empty() && is_letter(text.front()) && is_letter(text.back())) return text;
  for (bool again = true; std::exchange(again, false);)
    for (const std::string_view blank : kBlanks) {
      if (text.starts_with(blank)) text.remove_prefix(blank.size()), again = true;
      if (text.ends_with(blank)) text.remove_suffix(blank.size()), again = true;
    }
  return text;
}

std::string lookalikes(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::unordered_map<std::u32string, size_t> first;
  std::string shown;
  size_t count = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [same, fresh] = first.emplace(without_case(names[i]), i);
    if (!fresh && ++count <= kShown)
      shown +=
          fmt::format("{}'{}' and '{}'", shown.empty() ? "" : ", ", names[same->second], names[i]);
  }
  if (count == 0) return "";
  return fmt::format(
      "classes whose names differ only in the case of letters are different classes: "
      "{}{}",
      shown, count > kShown ? fmt::format(", and {} more", count - kShown) : "");
}

}  // namespace nestvit
