// The composed form by utf8proc, which also knows what is UTF-8.
#include "base/unicode.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <cstdlib>
#include <memory>

namespace nestvit {
namespace {

const utf8proc_uint8_t* bytes(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

}  // namespace

std::optional<std::string> composed(std::string_view text) {
  utf8proc_uint8_t* form = nullptr;
  const auto length =
      utf8proc_map(bytes(text), std::ssize(text), &form,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(form, std::free);
  if (length < 0) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(form), static_cast<size_t>(length));
}

void for_each_letter(std::string_view text,
                     const std::function<void(std::string_view bytes, int32_t letter)>& on) {
  while (!text.empty()) {
    utf8proc_int32_t letter = -1;
    const auto length = utf8proc_iterate(bytes(text), std::ssize(text), &letter);
    const size_t taken = length > 0 ? static_cast<size_t>(length) : 1;
    on(text.substr(0, taken), length > 0 ? letter : -1);
    text.remove_prefix(taken);
  }
}

std::string printable(std::string_view text) {
  std::string shown;
  for_each_letter(text, [&](std::string_view bytes, int32_t letter) {
    if (letter >= 0x20 && letter != 0x7F)
      shown += bytes;
    else
      shown += fmt::format("\\x{:02X}", static_cast<unsigned char>(bytes.front()));
  });
  return shown;
}

}  // namespace nestvit
