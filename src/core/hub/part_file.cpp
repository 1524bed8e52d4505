// Locks by flock, writes at an offset of its own, rename when whole.
#include "hub/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/file.h"
#include "base/log.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLongestMark = 1024;

[[noreturn]] void fail(const char* doing, const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    hint = "free some space and run the same command again: it goes on where it stopped";
  if (error == EACCES || error == EPERM || error == EROFS)
    hint = "check the permissions, or name another folder";
  throw Error(fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(error)), hint);
}

fs::path with_suffix(fs::path path, const char* suffix) { return path += suffix; }

// Whether `path` still names the open file: its holder may have renamed or removed it while we
// waited.
bool still_there(int fd, const fs::path& path) {
  struct stat open {
  }, named{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

void lock(int fd, const fs::path& path) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK)
    log_info(fmt::format("waiting for another process, which holds {}", path.string()));
  while (::flock(fd, LOCK_EX) != 0)
    if (errno != EINTR) return;  // no locks here
}

}  // namespace

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("create", folder, error.value());
}

FileLock::FileLock(const fs::path& path) {
  while (true) {
    make_folder(fs::absolute(path).parent_path());
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
    if (fd_ < 0 && errno == ENOENT) continue;  // a holder that was ready removed the folder
    if (fd_ < 0) fail("open", path, errno);
    lock(fd_, path);
    if (still_there(fd_, path)) return;
    ::close(fd_);
  }
}

FileLock::~FileLock() { ::close(fd_); }

PartFile::PartFile(const fs::path& file)
    : file_(file), path_(with_suffix(file, ".incomplete")), lock_(path_) {
  struct stat info {};
  if (::fstat(lock_.descriptor(), &info) != 0) fail("open", path_, errno);
  if (!S_ISREG(info.st_mode)) throw Error(fmt::format("{} is not a file", path_.string()));
  size_ = static_cast<uint64_t>(info.st_size);
}

void PartFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(lock_.descriptor(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path_, errno);
    size_ += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void PartFile::clear() {
  if (::ftruncate(lock_.descriptor(), 0) != 0) fail("write", path_, errno);
  size_ = 0;
}

std::string PartFile::mark() const {
  const fs::path path = with_suffix(path_, ".mark");
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return "";
  try {
    return read_text(path, kLongestMark);
  } catch (const Error&) {
    return "";
  }
}

void PartFile::set_mark(const std::string& mark) {
  if (mark == this->mark()) return;
  if (mark.empty() || mark.size() > kLongestMark) {
    ::unlink(with_suffix(path_, ".mark").c_str());
  } else {
    write_file(with_suffix(path_, ".mark"), std::string_view(mark));
  }
}

void PartFile::publish() { publish_as(file_); }

void PartFile::publish_as(const fs::path& file) {
  if (::fsync(lock_.descriptor()) != 0) fail("write", path_, errno);
  if (::rename(path_.c_str(), file.c_str()) != 0) fail("write", file, errno);
  ::unlink(with_suffix(path_, ".mark").c_str());
}

void PartFile::discard() {
  ::unlink(path_.c_str());
  ::unlink(with_suffix(path_, ".mark").c_str());
}

}  // namespace nestvit
