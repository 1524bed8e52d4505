// The text file holds the target and a line break. Git writes the same, without the line break,
// where it cannot make links.
#include "base/system/pointer.h"

#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/system/place.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLongestTarget = 4096;

void keep_folder(const fs::path& name) {
  std::error_code error;
  if (fs::is_symlink(name, error) || !fs::is_directory(name, error)) return;
  const fs::path copy = name.string() + ".copy";
  fs::remove_all(copy, error);
  fs::rename(name, copy, error);
}

// Renames over `name`, also where a file cannot take the place of a link.
void replace(const fs::path& fresh, const fs::path& name) {
  std::error_code ignored;
  if (::rename(fresh.c_str(), name.c_str()) == 0) return;
  fs::remove(name, ignored);
  if (::rename(fresh.c_str(), name.c_str()) == 0) return;
  const int error = errno;
  fs::remove(fresh, ignored);
  fail_to_write(name, error);
}

// The folder that the text file `path` names.
std::optional<fs::path> target_of(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error || size == 0 || size > kLongestTarget) return std::nullopt;
  std::string text = read_text(path, kLongestTarget);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty() || text.find_first_of(std::string("\n\0", 2)) != std::string::npos)
    return std::nullopt;
  const fs::path target = path.parent_path() / text;
  if (fs::path(text).is_absolute() || !fs::is_directory(target, error)) return std::nullopt;
  return target;
}

}  // namespace

bool point(const fs::path& name, const fs::path& target) {
  keep_folder(name);
  const fs::path fresh = beside(name);
  const bool linked = ::symlink(target.c_str(), fresh.c_str()) == 0;
  if (!linked) write_file(fresh, target.string() + "\n");
  replace(fresh, name);
  sync_folder(name.has_parent_path() ? name.parent_path() : fs::path("."));
  return linked;
}

fs::path pointed_at(const fs::path& path) {
  std::error_code error;
  fs::path rest;  // of the path, below `at`
  for (fs::path at = path; !at.empty() && at != at.root_path(); at = at.parent_path()) {
    if (fs::is_regular_file(at, error)) {
      const auto target = target_of(at);
      return !target ? path : rest.empty() ? *target : *target / rest;
    }
    if (fs::exists(at, error)) return path;
    rest = rest.empty() ? at.filename() : at.filename() / rest;
  }
  return path;
}

}  // namespace nestvit
