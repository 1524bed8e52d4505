// Names are made longer only where they must be: people look for photo.cat.png.
#include "cli/verbs/explain/file_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "base/text.h"
#include "base/unicode.h"

namespace nestvit::cli {
namespace {

// NAME.CLASS.json and what is appended while it is written stay below the 255 bytes of file
// systems.
constexpr size_t kNameBytes = 120, kClassBytes = 60;

// C1 controls, blanks and marks of direction beyond ASCII look like nothing, too.
bool is_visible(int32_t letter) {
  const bool blank = letter <= 0xA0 || letter == 0x3000 || letter == 0xFEFF;
  const bool mark =
      (letter >= 0x2000 && letter <= 0x200F) || (letter >= 0x2028 && letter <= 0x202F);
  return !blank && !mark;
}

bool is_safe(int32_t letter, bool dots) {
  if (letter < 0) return false;
  if (letter >= 0x80) return is_visible(letter);
  const char c = ascii_lower(static_cast<char>(letter));
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '+' ||
         (dots && c == '.');
}

std::string safe(const std::string& text, size_t most, bool dots) {
  std::string name;
  for_each_letter(text, [&](std::string_view bytes, int32_t letter) {
    if (name.size() + bytes.size() <= most) name += is_safe(letter, dots) ? bytes : "_";
  });
  if (name.empty()) return "_";
  if (name.front() == '-' || name.front() == '.') name.front() = '_';
  return name;
}

// `names`, each repetition with a number behind it.
std::vector<std::string> numbered(std::vector<std::string> names) {
  std::set<std::string> taken;
  for (const std::string& name : names) taken.insert(ascii_lower(name));
  std::set<std::string> seen;
  std::map<std::string, int> next;
  for (std::string& name : names) {
    const std::string first = name;
    while (!seen.insert(ascii_lower(name)).second) {
      int& number = next.try_emplace(ascii_lower(first), 2).first->second;
      do name = fmt::format("{}-{}", first, number++);
      while (taken.contains(ascii_lower(name)));
    }
  }
  return names;
}

// The last part of the path and some of the folders above it. Each attempt is more likely to be
// unique: alone, with its extension, with one folder, with both, with two folders, ...
std::string shortened(const std::string& path, size_t attempt) {
  if (path == "-") return "standard-input";
  const std::filesystem::path whole(path);
  std::vector<std::string> parts;
  for (const auto& part : whole.parent_path())
    if (part != "/" && part != "." && part != ".." && !part.empty()) parts.push_back(part.string());
  const size_t folders = std::min(attempt / 2, parts.size());
  parts.erase(parts.begin(), parts.end() - static_cast<std::ptrdiff_t>(folders));
  parts.push_back((attempt % 2 == 0 ? whole.stem() : whole.filename()).string());
  return fmt::format("{}", fmt::join(parts, "_"));
}

// From this attempt on nothing changes.
size_t attempts(const std::string& path) {
  const std::filesystem::path whole(path);
  return 2 * static_cast<size_t>(std::distance(whole.begin(), whole.end()));
}

}  // namespace

std::vector<std::string> image_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names(paths.size());
  std::vector<size_t> open(paths.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = i;
  for (size_t attempt = 0; !open.empty(); ++attempt) {
    std::map<std::string, int> uses;
    for (const size_t i : open) {
      names[i] = safe(shortened(paths[i], attempt), kNameBytes, true);
      ++uses[ascii_lower(names[i])];
    }
    std::vector<size_t> shared;
    for (const size_t i : open)
      if (uses[ascii_lower(names[i])] > 1 && attempt + 1 < attempts(paths[i])) shared.push_back(i);
    open = std::move(shared);
  }
  return numbered(std::move(names));
}

std::vector<std::string> class_file_names(const std::vector<std::string>& labels) {
  std::vector<std::string> names;
  for (const std::string& label : labels) names.push_back(safe(label, kClassBytes, false));
  return numbered(std::move(names));
}

}  // namespace nestvit::cli
