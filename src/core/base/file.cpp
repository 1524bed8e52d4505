// POSIX mapping, and atomic replacement through a temporary name in the same folder.
#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/system/place.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostCopied = 1 << 30;  // bytes of a file that cannot be mapped

[[noreturn]] void fail(const char* doing, const fs::path& path, int error) {
  throw Error(fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(error)),
              error == ENOENT ? "check the path" : write_error_hint(path, error));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

int open_regular(const fs::path& path, struct stat* info) {
  // O_NONBLOCK: opening a named pipe must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail("open", path, errno);
  if (::fstat(fd, info) != 0 || !S_ISREG(info->st_mode)) {
    ::close(fd);
    throw Error(fmt::format("{} is not a file", path.string()), "give the path of a file");
  }
  return fd;
}

fs::path partial_of(const fs::path& path) {
  constexpr size_t kMost = 240;  // bytes of a name that the ending leaves below the limit of 255
  return path.parent_path() / (path.filename().string().substr(0, kMost) + ".partial");
}

// Exchanges the finished folder `fresh` with the one at `path` in one step, so that `path` is never
// missing. False when the file system cannot do that, or nothing is at `path`.
bool exchange(const fs::path& fresh, const fs::path& path) {
  return ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0;
}

void write_all(int fd, const std::byte* data, size_t size, const fs::path& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, std::min<size_t>(size, 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // a pipe that its maker wants not to wait for
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0) fail_to_write(path, errno);
    data += written;
    size -= static_cast<size_t>(written);
  }
}

// All that is left of `from`, named in errors by `path`; returns the bytes.
size_t copy_content(int from, int to, const fs::path& path) {
  size_t copied = 0;
  std::vector<std::byte> piece(1 << 20);
  while (const ssize_t got = ::read(from, piece.data(), piece.size())) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    write_all(to, piece.data(), static_cast<size_t>(got), path);
    copied += static_cast<size_t>(got);
  }
  return copied;
}

// Maps a copy of the file that lies in memory alone.
void* map_copy(int file, size_t size, const fs::path& path) {
  const Descriptor copy{::memfd_create("nestvit", MFD_CLOEXEC)};
  if (copy.fd < 0) fail("map", path, errno);
  if (copy_content(file, copy.fd, path) < size)
    throw Error(fmt::format("{} became shorter while it was read", path.string()));
  return ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, copy.fd, 0);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  struct stat info {};
  const Descriptor file{open_regular(path, &info)};
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->size_ = static_cast<size_t>(info.st_size);
  if (mapped->size_ > 0) {
    void* address = ::mmap(nullptr, mapped->size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
    // Some network file systems cannot map.
    if (address == MAP_FAILED && errno == ENODEV && mapped->size_ <= kMostCopied)
      address = map_copy(file.fd, mapped->size_, path);
    if (address == MAP_FAILED) {
      mapped->size_ = 0;
      fail("map", path, errno);
    }
    mapped->data_ = static_cast<const std::byte*>(address);
  }
  return mapped;
}

void MappedFile::forget(std::span<const std::byte> part) const {
  // Whole pages inside the part only: its neighbours share the others.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (address + page - 1) / page * page;
  const uintptr_t last = (address + part.size()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::vector<std::byte> read_file(const fs::path& path, uint64_t max_bytes) {
  struct stat info {};
  const Descriptor file{open_regular(path, &info)};
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes)
    throw Error(fmt::format("{} has {} bytes; at most {} are expected here", path.string(), size,
                            max_bytes));
  std::vector<std::byte> bytes(size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) throw Error(fmt::format("{} became shorter while it was read", path.string()));
    done += static_cast<size_t>(got);
  }
  return bytes;
}

std::string read_text(const fs::path& path, uint64_t max_bytes) {
  const auto bytes = read_file(path, max_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- writing ----

AtomicFile::AtomicFile(fs::path path, Unfinished unfinished)
    : path_(std::move(path)), kept_(unfinished == Unfinished::kKept) {
  const Place place = place_of(path_);
  target_ = place.path;
  stream_ = place.stream;
  if (!stream_) {
    open_beside();
    return;
  }
  // What this process has printed so far comes first.
  std::fflush(stdout);
  descriptor_ = place.descriptor >= 0 ? ::fcntl(place.descriptor, F_DUPFD_CLOEXEC, 0)
                                      : ::open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor_ < 0) fail_to_write(path_, errno);
}

void AtomicFile::open_beside() {
  struct stat info {};
  const bool exists = ::stat(target_.c_str(), &info) == 0;
  if (path_.filename().empty() || (exists && S_ISDIR(info.st_mode))) fail_to_write(path_, EISDIR);
  if (exists && ::access(target_.c_str(), W_OK) != 0) fail_to_write(path_, errno);
  temporary_ = kept_ ? partial_of(target_) : beside(target_);
  descriptor_ =
      ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (kept_ ? O_TRUNC : O_EXCL), 0666);
  const int error = errno;
  if (descriptor_ >= 0) {
    // Not every file system has permissions.
    if (exists) static_cast<void>(::fchmod(descriptor_, info.st_mode & 07777));
    return;
  }
  temporary_.clear();
  if (exists && (error == EACCES || error == EPERM || error == EROFS))
    descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail_to_write(path_, error);
  replaces_content_ = true;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  const bool empty = ::lseek(descriptor_, 0, SEEK_CUR) == 0;
  ::close(descriptor_);
  if (!temporary_.empty() && (!kept_ || empty)) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  NESTVIT_CHECK(descriptor_ >= 0);
  if (std::exchange(replaces_content_, false) && ::ftruncate(descriptor_, 0) != 0)
    fail_to_write(path_, errno);
  write_all(descriptor_, bytes.data(), bytes.size(), path_);
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::commit() {
  write(std::string_view());
  if (!stream_ && !sync_file(descriptor_)) fail_to_write(path_, errno);
  if (!temporary_.empty()) put_in_place();
  ::close(descriptor_);
  descriptor_ = -1;
}

// By renaming. Where the file system does not let a file take another's place, or the target is a
// mount point, its content is replaced.
void AtomicFile::put_in_place() {
  if (::rename(temporary_.c_str(), target_.c_str()) == 0) return;
  const int error = errno;
  const Descriptor from{::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC)};
  const Descriptor to{::open(target_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC)};
  if (from.fd < 0 || to.fd < 0) fail_to_write(path_, error);
  copy_content(from.fd, to.fd, path_);
  if (!sync_file(to.fd)) fail_to_write(path_, errno);
  ::unlink(temporary_.c_str());
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

void write_directory(const fs::path& given, const std::function<void(const fs::path&)>& fill) {
  const fs::path path = place_of(given).path;
  const fs::path temporary = beside(path);
  std::error_code ignored;
  try {
    std::error_code error;
    if (!fs::create_directories(temporary, error))
      fail_to_write(path, error ? error.value() : EEXIST);
    fill(temporary);
    sync_folder(temporary);
    if (!exchange(temporary, path)) {
      const fs::path old = beside(path);
      const bool replaces = ::rename(path.c_str(), old.c_str()) == 0;
      if (::rename(temporary.c_str(), path.c_str()) != 0) {
        const int reason = errno;
        if (replaces) ::rename(old.c_str(), path.c_str());
        fail_to_write(path, reason);
      }
      if (replaces) fs::remove_all(old, ignored);
    }
    sync_folder(fs::absolute(path).parent_path());
    fs::remove_all(temporary, ignored);
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

bool sync_file(int descriptor) {
  return ::fsync(descriptor) == 0 || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
}

void sync_folder(const fs::path& folder) {
  const Descriptor file{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (file.fd >= 0) ::fsync(file.fd);
}

void fail_to_write(const fs::path& path, int error) {
  const fs::path whole = path.filename().empty() ? path.parent_path() : path;
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  std::error_code ignored;
  if (error == EISDIR)
    throw Error(fmt::format("cannot write {}: it is a folder", path.string()),
                fmt::format("name a file, for instance {}", (whole / "result").string()));
  if (error == ENOENT && !fs::exists(folder, ignored))
    throw Error(
        fmt::format("cannot write {}: there is no folder {}", path.string(), folder.string()),
        fmt::format("make it first: mkdir -p {}", folder.string()));
  fail("write", path, error);
}

std::string write_error_hint(const fs::path& path, int error) {
  if (error == EACCES || error == EPERM || error == EROFS) return "check the permissions";
  if (error == EFBIG) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    return fmt::format("files of this process may have {} bytes at most: raise ulimit -f",
                       limit.rlim_cur);
  }
  if ((error != ENOSPC && error != EDQUOT) || place_of(path).stream) return "";
  std::error_code unknown;
  const fs::path folder = fs::absolute(path).parent_path();
  const fs::space_info space = fs::space(folder, unknown);
  if (unknown || error == EDQUOT) return "free some space; the old content is untouched";
  return fmt::format("{} holds {:.1f} MB more: free some space; the old content is untouched",
                     folder.string(), static_cast<double>(space.available) / 1e6);
}

FolderLock::FolderLock(const fs::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail("open", folder, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw Error(fmt::format("another process works in {}", folder.string()),
              "wait until it ends, or choose another folder");
}

FolderLock::~FolderLock() { ::close(descriptor_); }

std::span<const std::byte> BoundedReader::take(uint64_t count) {
  if (count > remaining())
    throw Error(fmt::format("{} ends too early: {} bytes are needed at position {}, {} are there",
                            what_, count, at_, remaining()),
                "the file is truncated or damaged");
  const auto taken = bytes_.subspan(at_, count);
  at_ += count;
  return taken;
}

}  // namespace nestvit
