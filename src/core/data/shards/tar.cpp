// POSIX.1-1988 ustar, with GNU's 'L' (long name) and base-256 sizes, and POSIX.1-2001's 'x' and 'g'
// (pax records).
#include "data/shards/tar.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace nestvit {
namespace {

constexpr uint64_t kLargestText = 64 << 10;  // of a long name or of pax records

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Up to the first zero byte.
std::string_view field(std::string_view block, size_t at, size_t size) {
  const std::string_view whole = block.substr(at, size);
  return whole.substr(0, whole.find('\0'));
}

// Octal digits between blanks; or, with the first bit set, a big-endian number (GNU).
std::optional<uint64_t> number(std::string_view digits) {
  if (!digits.empty() && (static_cast<unsigned char>(digits[0]) & 0x80) != 0) {
    uint64_t value = static_cast<unsigned char>(digits[0]) & 0x7f;
    for (const char c : digits.substr(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  digits = digits.substr(0, digits.find('\0'));
  while (digits.starts_with(' ')) digits.remove_prefix(1);
  while (digits.ends_with(' ')) digits.remove_suffix(1);
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, 8);
  if (digits.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

bool is_header(std::string_view block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  return number(block.substr(148, 8)) == sum;
}

bool is_end(std::string_view block) {
  return block.find_first_not_of('\0') == std::string_view::npos;
}

std::string name_in(std::string_view block) {
  const std::string name(field(block, 0, 100));
  const std::string_view prefix = field(block, 345, 155);
  const bool ustar = block.substr(257, 6) == std::string_view("ustar\0", 6);
  return ustar && !prefix.empty() ? std::string(prefix) + "/" + name : name;
}

class TarReader {
 public:
  TarReader(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

  void read(const std::function<void(const TarMember&)>& each) {
    if (file_.size() >= 2 && file_[0] == std::byte{0x1f} && file_[1] == std::byte{0x8b})
      throw Error(fmt::format("{} is compressed: its images cannot be read one by one", path_),
                  "unpack it once: gunzip FILE");
    while (at_ < file_.size()) {
      const std::string_view block = header();
      if (is_end(block)) return;
      member(block, each);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: at byte {} {}", path_, at_, what),
                "not a tar file, damaged, or an incomplete copy");
  }

  std::string_view header() const {
    if (file_.size() - at_ < kTarBlock) fail("a header is cut off");
    const std::string_view block = text_of(file_.subspan(at_, kTarBlock));
    if (!is_end(block) && !is_header(block)) fail("a header has a wrong checksum");
    return block;
  }

  void member(std::string_view block, const std::function<void(const TarMember&)>& each) {
    const char type = block[156];
    const bool is_text = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    const auto own = number(block.substr(124, 12));
    const auto size = is_text || !size_ ? own : size_;
    if (!size) fail("the size of a member is not a number");
    const uint64_t begin = at_ + kTarBlock;
    if (*size > file_.size() - begin) fail("a member is longer than the rest of the file");
    if (is_text) {
      take_text(type, begin, *size);
    } else {
      if (type == '0' || type == '\0' || type == '7')
        each({name_.value_or(name_in(block)), begin, *size});
      name_.reset();
      size_.reset();
    }
    // The last block may lack its padding.
    at_ = std::min<uint64_t>(file_.size(), begin + (*size + kTarBlock - 1) / kTarBlock * kTarBlock);
  }

  // Takes the name or size of the next member.
  void take_text(char type, uint64_t begin, uint64_t size) {
    if (size > kLargestText) fail("a name or pax record is longer than 64 KiB");
    const std::string_view text = text_of(file_.subspan(begin, size));
    if (type == 'L') name_ = std::string(text.substr(0, text.find('\0')));
    if (type == 'x') take_records(text);
  }

  // Lines "LENGTH KEY=VALUE\n", LENGTH counting all of the line.
  void take_records(std::string_view text) {
    while (!text.empty() && text[0] != '\0') {
      size_t length = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), length);
      const size_t digits = static_cast<size_t>(stop - text.data());
      if (error != std::errc() || length > text.size() || length < digits + 3 ||
          text[digits] != ' ' || text[length - 1] != '\n')
        fail("a pax record is damaged");
      const std::string_view line = text.substr(digits + 1, length - digits - 2);
      const size_t equals = line.find('=');
      if (equals == std::string_view::npos) fail("a pax record is damaged");
      const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
      if (key == "path") name_ = std::string(value);
      if (key == "size") take_size(value);
      text.remove_prefix(length);
    }
  }

  void take_size(std::string_view value) {
    uint64_t size = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (error != std::errc() || stop != value.data() + value.size())
      fail("the size in a pax record is not a number");
    size_ = size;
  }

  const std::span<const std::byte> file_;
  const std::string& path_;
  uint64_t at_ = 0;
  std::optional<std::string> name_;  // of the next member, from before its header
  std::optional<uint64_t> size_;
};

}  // namespace

void read_tar(std::span<const std::byte> file, const std::string& path,
              const std::function<void(const TarMember&)>& each) {
  TarReader(file, path).read(each);
}

std::string tar_name_before(std::span<const std::byte> file, uint64_t offset) {
  return name_in(text_of(file.subspan(offset - kTarBlock, kTarBlock)));
}

}  // namespace nestvit
