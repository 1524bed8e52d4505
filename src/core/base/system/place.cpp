// Links are followed by hand, since some of them name what no path leads to: /proc/self/fd/1 may be
// a pipe or a deleted file.
#include "base/system/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <string>

#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as Linux
constexpr size_t kLongestKept =
    200;  // bytes of a name; with what beside() adds a name may have 255

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

int number(const std::string& text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

// Whether `path` lies in a process's folder of open descriptors; `place` then names this one.
bool is_descriptor(const fs::path& path, Place& place) {
  std::error_code error;
  const fs::path folder = fs::canonical(folder_of(path), error);
  if (error || folder.filename() != "fd" || !folder.string().starts_with("/proc/")) return false;
  place.stream = true;
  if (folder == fs::canonical("/proc/self/fd", error))
    place.descriptor = number(path.filename().string());
  return true;
}

bool is_stream(const struct stat& info) { return !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode); }

// A write of nothing shows the state of a device, such as /dev/full; other kinds might take it for
// a message.
void check_device(int descriptor, const fs::path& path) {
  struct stat info {};
  if (::fstat(descriptor, &info) == 0 && S_ISCHR(info.st_mode) && ::write(descriptor, "", 0) < 0)
    fail_to_write(path, errno);
}

void check_stream(const Place& place, const fs::path& path) {
  if (place.descriptor >= 0) {
    const int flags = ::fcntl(place.descriptor, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) fail_to_write(path, EBADF);
    return check_device(place.descriptor, path);
  }
  struct stat info {};
  if (::stat(place.path.c_str(), &info) != 0) fail_to_write(path, errno);
  if (S_ISSOCK(info.st_mode)) fail_to_write(path, ENXIO);
  if (::access(place.path.c_str(), W_OK) != 0) fail_to_write(path, errno);
  if (!S_ISCHR(info.st_mode)) return;  // a named pipe is opened when there is something to write
  const int fd = ::open(place.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) fail_to_write(path, errno);
  try {
    check_device(fd, path);
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
}

// 0, or the reason why no file of a block can be made in `folder`.
int try_block(const fs::path& folder) {
  const fs::path probe = beside(folder / "probe");
  const int fd = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const std::array<char, 4096> block{};
  int error = 0;
  if (::write(fd, block.data(), block.size()) != std::ssize(block)) error = errno ? errno : ENOSPC;
  ::close(fd);
  ::unlink(probe.c_str());
  return error;
}

}  // namespace

Place place_of(const fs::path& path) {
  if (path == "-") return {"/dev/stdout", true, STDOUT_FILENO};
  Place place{path, false, -1};
  std::error_code error;
  for (int i = 0; i < kMostLinks; ++i) {
    if (is_descriptor(place.path, place)) return place;
    const fs::path target = fs::read_symlink(place.path, error);
    if (error) break;
    place.path = target.is_absolute() ? target : folder_of(place.path) / target;
  }
  struct stat info {};
  place.stream = ::stat(place.path.c_str(), &info) == 0 && is_stream(info);
  return place;
}

fs::path beside(const fs::path& path) {
  static std::atomic<int> counter{0};
  const fs::path whole = path.filename().empty() ? path.parent_path() : path;
  const std::string name = whole.filename().string().substr(0, kLongestKept);
  return whole.parent_path() / fmt::format(".{}.tmp-{}-{}", name, ::getpid(), counter++);
}

void check_file_place(const fs::path& path) {
  const Place place = place_of(path);
  if (place.stream) return check_stream(place, path);
  struct stat info {};
  const bool exists = ::stat(place.path.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) fail_to_write(path, errno);
  if (path.filename().empty() || (exists && S_ISDIR(info.st_mode))) fail_to_write(path, EISDIR);
  if (exists && ::access(place.path.c_str(), W_OK) != 0) fail_to_write(path, errno);
  const int error = try_block(folder_of(place.path));
  // A file may be open to writing in a folder that is not; AtomicFile then writes into it.
  const bool in_place = exists && (error == EACCES || error == EPERM || error == EROFS);
  if (error != 0 && !in_place) fail_to_write(path, error);
}

void check_folder_place(const fs::path& path) {
  fs::path at = fs::absolute(path).lexically_normal();
  if (at.filename().empty()) at = at.parent_path();
  std::error_code error;
  while (!fs::exists(at, error)) {
    if (fs::is_symlink(at, error))
      throw Error(fmt::format("{} is a link to {}, which is not there", at.string(),
                              fs::read_symlink(at, error).string()),
                  "make that folder, or remove the link");
    if (at == at.root_path()) break;
    at = at.parent_path();
  }
  if (!fs::is_directory(at, error))
    throw Error(
        fmt::format("cannot write the folder {}: {} is no folder", path.string(), at.string()),
        "name another place");
  if (const int reason = try_block(at); reason != 0) fail_to_write(path, reason);
}

}  // namespace nestvit
