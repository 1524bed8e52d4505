// The composed form after annex 15 of the Unicode standard: letters are taken apart, marks ordered,
// and both put together, with the table of tools/unicode_table.py.
#include "base/unicode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace nestvit {
namespace {

struct Composition {
  uint16_t letter, first, second;  // second 0: another code for the same letter
};
struct Mark {
  uint16_t code, order;
};
#include "base/unicode_table.inc"

// Hangul: a syllable is computed from its lead, vowel and tail.
constexpr char32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

// Reads the letter at the front of `text` and its number of bytes; nothing when it is not UTF-8.
std::optional<std::pair<char32_t, size_t>> front_letter(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  if (byte < 0x80) return std::pair(char32_t{byte}, size_t{1});
  const size_t length = byte >= 0xC2 && byte < 0xE0   ? 2
                        : (byte & 0xF0) == 0xE0       ? 3
                        : byte >= 0xF0 && byte < 0xF5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return std::nullopt;
  char32_t letter = byte & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return std::nullopt;
    letter = letter << 6 | (next & 0x3F);
  }
  const bool surrogate = letter >= 0xD800 && letter < 0xE000;
  if ((length == 3 && (letter < 0x800 || surrogate)) ||
      (length == 4 && (letter < 0x10000 || letter > 0x10FFFF)))
    return std::nullopt;
  return std::pair(letter, length);
}

void append(std::string& text, char32_t letter) {
  const auto part = [&](int shift) { return static_cast<char>(0x80 | (letter >> shift & 0x3F)); };
  if (letter < 0x80) {
    text += static_cast<char>(letter);
  } else if (letter < 0x800) {
    text += {static_cast<char>(0xC0 | letter >> 6), part(0)};
  } else if (letter < 0x10000) {
    text += {static_cast<char>(0xE0 | letter >> 12), part(6), part(0)};
  } else {
    text += {static_cast<char>(0xF0 | letter >> 18), part(12), part(6), part(0)};
  }
}

template <class List>
auto find_letter(const List& list, char32_t letter) {
  const auto found = std::lower_bound(
      std::begin(list), std::end(list), letter,
      [](const Composition& entry, char32_t wanted) { return entry.letter < wanted; });
  return found != std::end(list) && found->letter == letter ? &*found : nullptr;
}

void take_apart(char32_t letter, std::u32string& parts) {
  if (const char32_t i = letter - kSyllables; letter >= kSyllables && i < kSyllableCount) {
    parts += kLeads + i / (kVowelCount * kTailCount);
    parts += kVowels + i / kTailCount % kVowelCount;
    if (i % kTailCount > 0) parts += kTails + i % kTailCount;
    return;
  }
  const Composition* entry = find_letter(kComposed, letter);
  if (!entry) entry = find_letter(kApart, letter);
  if (!entry) {
    parts += letter;
    return;
  }
  take_apart(entry->first, parts);
  if (entry->second != 0) take_apart(entry->second, parts);
}

// 0: not a mark.
int order_of(char32_t letter) {
  const auto* found =
      std::lower_bound(std::begin(kMarks), std::end(kMarks), letter,
                       [](const Mark& mark, char32_t wanted) { return mark.code < wanted; });
  return found != std::end(kMarks) && found->code == letter ? found->order : 0;
}

void order_marks(std::u32string& letters) {
  for (auto begin = letters.begin(); begin != letters.end();) {
    if (order_of(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, letters.end(), [](char32_t letter) { return order_of(letter) == 0; });
    std::stable_sort(begin, end, [](char32_t a, char32_t b) { return order_of(a) < order_of(b); });
    begin = end;
  }
}

// 0: the two are not one letter.
char32_t put_together(char32_t first, char32_t second) {
  if (first - kLeads < kLeadCount && second - kVowels < kVowelCount)
    return kSyllables + ((first - kLeads) * kVowelCount + second - kVowels) * kTailCount;
  if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTailCount == 0 &&
      second > kTails && second - kTails < kTailCount)
    return first + second - kTails;
  static const auto letters = [] {
    std::map<std::pair<char32_t, char32_t>, char32_t> all;
    for (const auto& entry : kComposed) all[{entry.first, entry.second}] = entry.letter;
    return all;
  }();
  const auto found = letters.find({first, second});
  return found == letters.end() ? 0 : found->second;
}

std::u32string put_together(const std::u32string& parts) {
  std::u32string whole;
  size_t base = 0;  // of the letter that marks join
  int last = -1;    // order of the last mark that stayed alone behind it; -1: none
  for (const char32_t part : parts) {
    const int order = order_of(part);
    const char32_t joined = !whole.empty() && last < order ? put_together(whole[base], part) : 0;
    if (joined != 0) {
      whole[base] = joined;
      continue;
    }
    if (order == 0) {
      base = whole.size();
      last = -1;
    } else {
      last = order;
    }
    whole += part;
  }
  return whole;
}

}  // namespace

std::optional<std::string> composed(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<int8_t>(c) >= 0; }))
    return std::string(text);
  std::u32string parts;
  while (!text.empty()) {
    const auto letter = front_letter(text);
    if (!letter) return std::nullopt;
    take_apart(letter->first, parts);
    text.remove_prefix(letter->second);
  }
  order_marks(parts);
  std::string form;
  for (const char32_t letter : put_together(parts)) append(form, letter);
  return form;
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const auto letter = front_letter(text);
    const bool plain = letter && letter->first >= 0x20 && letter->first != 0x7F;
    const size_t taken = plain ? letter->second : 1;
    shown += plain ? std::string(text.substr(0, taken))
                   : fmt::format("\\x{:02X}", static_cast<unsigned char>(text.front()));
    text.remove_prefix(taken);
  }
  return shown;
}

}  // namespace nestvit
